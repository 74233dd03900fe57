# One image for MLflow and all of Airflow's processes; docker-compose.yaml says which of them a container runs.
FROM python:3.11.14-slim-bookworm

RUN useradd --uid 50000 --create-home perennial \
    && install -d -o perennial -g perennial -m 0750 /var/lib/perennial \
        /var/lib/perennial/airflow /var/lib/perennial/mlflow /var/lib/perennial/state

# The same lock and the same tool as `make setup`, in a virtual environment that the project's code does not touch.
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
COPY requirements.txt /opt/perennial/
RUN python -m venv /opt/venv \
    && python -m pip install --no-cache-dir --quiet uv==0.13.8 \
    && uv pip sync --no-cache --require-hashes --compile-bytecode /opt/perennial/requirements.txt

COPY include /opt/perennial/include
COPY plugins /opt/perennial/plugins
COPY dags /opt/perennial/dags
RUN python /opt/perennial/include/install.py

# Which code this is: `docker build --build-arg PERENNIAL_CODE=$(git rev-parse HEAD)`; every run in MLflow says it.
ARG PERENNIAL_CODE=unknown
ENV PERENNIAL_CODE=$PERENNIAL_CODE

USER perennial
WORKDIR /opt/perennial
