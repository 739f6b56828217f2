-- The roles and databases of one installation, once, as the superuser. Each role has a password of its own:
--   psql -v ON_ERROR_STOP=1 -v owner_password=… -v application_password=… -v prefect_password=… -f roles.sql
-- sanyi_owner owns our tables and migrates them (python -m infra.db.migrate, which also says what sanyi may do there). sanyi is
-- what gateways and workers are: it can neither change the schema nor rewrite what is append-only. prefect has a database of
-- its own and cannot open ours.
CREATE ROLE sanyi_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE sanyi LOGIN PASSWORD :'application_password';
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE DATABASE sanyi OWNER sanyi_owner;
CREATE DATABASE prefect OWNER prefect;
REVOKE ALL ON DATABASE sanyi, prefect FROM PUBLIC;
GRANT CONNECT ON DATABASE sanyi TO sanyi;
\connect sanyi
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO sanyi_owner;
GRANT USAGE ON SCHEMA public TO sanyi;
