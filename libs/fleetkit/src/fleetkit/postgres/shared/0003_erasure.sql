-- A tenant's events go with it, once everybody has erased what was its.
select fleetkit_share('outbox', 'delete');
