"""The pages that people see: each route asks the services and renders, and decides nothing."""
