"""The AVA dialect: routes, schemas, errors and the OpenAPI document of `/v1/ava`."""
