-- For the PostgreSQL of docker-compose.yaml: a role for each part, and a database of its own that no other may enter.
-- Run once by the image, when its volume is empty. The local stack does the same in stack.postgres.
\set ON_ERROR_STOP on
\getenv perennial_password PERENNIAL_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
\getenv airflow_password AIRFLOW_DB_PASSWORD

CREATE ROLE perennial LOGIN PASSWORD :'perennial_password';
CREATE DATABASE perennial OWNER perennial;
REVOKE ALL ON DATABASE perennial FROM PUBLIC;

CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE mlflow FROM PUBLIC;

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE DATABASE airflow OWNER airflow;
REVOKE ALL ON DATABASE airflow FROM PUBLIC;

-- The ledger's owner, and how the ledger comes to it.
\connect perennial
\i /ledger_owner.sql
