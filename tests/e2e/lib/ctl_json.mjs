// What `candela ctl --json` prints, held against docs/ctl-json.schema.json. There members are only ever added, so that a
// reader has to take others, too; here each that comes has to be described.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import { ROOT } from './program.mjs';

// Closes every object where it is used: as a member, an item, or a document.
function close(schema, isUsed) {
  if (typeof schema !== 'object' || schema === null) return schema;
  const out = { ...schema };
  for (const key of ['properties', '$defs']) {
    if (!schema[key]) continue;
    out[key] = Object.fromEntries(Object.entries(schema[key]).map(([name, each]) => [name, close(each, key === 'properties')]));
  }
  if (schema.items) out.items = close(schema.items, true);
  for (const key of ['allOf', 'anyOf', 'oneOf']) if (schema[key]) out[key] = schema[key].map((each) => close(each, false));
  if (isUsed && !('additionalProperties' in schema)) out.unevaluatedProperties = false;
  return out;
}

export class JsonSchemas {
  #verbs = new Map();

  constructor() {
    const whole = JSON.parse(fs.readFileSync(path.join(ROOT, 'docs/ctl-json.schema.json'), 'utf8'));
    const ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allErrors: true, allowUnionTypes: true });
    ajv.addSchema({ ...close(whole, false), $id: 'ctl' });
    for (const verb of Object.keys(whole.properties)) {
      this.#verbs.set(verb, ajv.compile({ $ref: `ctl#/properties/${encodeURIComponent(verb)}` }));
    }
  }

  verbs() {
    return [...this.#verbs.keys()];
  }

  check(verb, document) {
    const validate = this.#verbs.get(verb);
    assert.ok(validate, `docs/ctl-json.schema.json does not describe ${verb}`);
    assert.ok(validate(document), `${verb}: ${JSON.stringify(validate.errors, null, 1)}\n${JSON.stringify(document)}`);
  }
}
