// Judges for schema_campaign.py: a line of {"schema", "values"} in, a line of [true, false, …] or {"error"} out.
"use strict";
const Ajv = require("ajv/dist/2020");
const formats = require("ajv-formats");
const lines = require("readline").createInterface({input: process.stdin});
lines.on("line", (line) => {
  const {schema, values} = JSON.parse(line);
  const ajv = new Ajv({strict: false, logger: false, validateSchema: true, addUsedSchema: false});
  formats(ajv);
  let answer;
  try {
    const validate = ajv.compile(schema);
    answer = values.map((value) => validate(value));
  } catch (error) {
    answer = {error: String(error.message)};
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
