"""Names and ports that the manifests of deploy/ share with what is generated for them."""

GRPC_PORT = 50051
METRICS_PORT = 9100
HTTP_PORT = 8080
POSTGRES_PORT = 5432
NATS_PORT = 4222
NATS_ROUTE_PORT = 6222
NATS_MONITOR_PORT = 8222

NAME = "app.kubernetes.io/name"
POSTGRES_PODS = {"fleetdesk.dev/server": "postgres"}
NATS_PODS = {NAME: "nats"}
MIGRATION_PODS = {"app.kubernetes.io/component": "migration"}

INGRESS_NAMESPACE = "ingress-nginx"
MONITORING_NAMESPACE = "monitoring"
KEDA_NAMESPACE = "keda"
