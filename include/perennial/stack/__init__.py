"""The local stack: PostgreSQL, MLflow and Airflow as supervised processes of this machine, on loopback only."""
