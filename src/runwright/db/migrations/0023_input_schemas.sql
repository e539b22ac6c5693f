-- JSON Schema of a worker's input, which submits check; null: any object.
ALTER TABLE workers ADD COLUMN input_schema json;
