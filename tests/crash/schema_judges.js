// Judges for schema_campaign.py: a line of {"schema", "values"} in, a line of [true, false, …] or {"error"} out.
//
//     NODE_PATH=…/node_modules node schema_judges.js ajv|hyperjump
"use strict";
const path = require("path");
const {pathToFileURL} = require("url");
const readline = require("readline");

function ajv() {
  const Ajv = require("ajv/dist/2020"), formats = require("ajv-formats");
  let judge, n = 0;
  const compiled = (schema, fresh) => {
    if (fresh) {
      judge = new Ajv({strict: false, logger: false, validateSchema: true});
      formats(judge);
    }
    return judge.compile(schema);
  };
  return async (schema, values) => {
    let validate;
    try { // making a judge takes longer than what it does; one for all would keep all schemas
      validate = compiled(schema, n++ % 100 === 0);
    } catch (error) { // what it knows of earlier schemas may be in its way
      validate = compiled(schema, true);
    }
    return values.map((value) => validate(value));
  };
}

async function hyperjump() {
  const own = (name) => import(pathToFileURL(path.join(process.env.NODE_PATH, "@hyperjump/json-schema", name)));
  const {registerSchema, unregisterSchema, setShouldValidateFormat, validate} = await own("draft-2020-12/index.js");
  await own("formats/index.js");
  setShouldValidateFormat(true);
  let n = 0;
  return async (schema, values) => {
    const address = `https://campaign.invalid/${n++}`;
    registerSchema(schema, address, "https://json-schema.org/draft/2020-12/schema");
    try {
      const judge = await validate(address);
      return values.map((value) => judge(value).valid);
    } finally {
      unregisterSchema(address);
    }
  };
}

async function main() {
  console.log = console.error; // a judge may think aloud
  const judge = await {ajv, hyperjump}[process.argv[2]]();
  for await (const line of readline.createInterface({input: process.stdin})) {
    const {schema, values} = JSON.parse(line);
    let answer;
    try {
      answer = await judge(schema, values);
    } catch (error) {
      answer = {error: String(error.message || error)};
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
}
main();
