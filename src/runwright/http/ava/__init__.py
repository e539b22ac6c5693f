"""The AVA dialect: routes, wire shapes, checks, errors and the OpenAPI document of `/v1/ava`."""
