"""What may be asked of the service: types made of ``model.yaml``, what is wrong with a body, the OpenAPI schema."""
