// Validates resources with @medplum/core: node oracle.mjs MODULES CORE OURS CASES
// CASES is a file of lines {"profile": url, "resource": {...}}; prints one line {"errors": [...], "warnings": [...]} each.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

// Node 20 has no WebSocket; the module names it without ever opening one.
globalThis.WebSocket ??= class {};

const [modules, core, ours, cases] = process.argv.slice(2);
const { indexStructureDefinitionBundle, validateResource } = await import(
  pathToFileURL(join(modules, '@medplum/core/dist/esm/index.mjs'))
);

const definitions = (folder) =>
  readdirSync(folder)
    .filter((name) => /^StructureDefinition-.*\.json$/.test(name))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));

const standard = definitions(core).filter((one) => one.derivation !== 'constraint' || one.url.endsWith('/SimpleQuantity') || one.url.endsWith('/geolocation'));
const published = definitions(ours);
indexStructureDefinitionBundle([...standard, ...published]);
const profiles = new Map(published.map((one) => [one.url, one]));

const said = (issue) => `${(issue.expression ?? []).join(',')}: ${issue.details?.text ?? ''}`;
for (const line of readFileSync(cases, 'utf8').split('\n')) {
  if (!line) continue;
  const { profile, resource } = JSON.parse(line);
  let answer;
  try {
    answer = { errors: [], warnings: validateResource(resource, { profile: profiles.get(profile) }).map(said) };
  } catch (error) {
    if (!error.outcome) {
      answer = { errors: [`crash: ${error.message}`], warnings: [], crash: true };
    } else {
      const issues = error.outcome.issue;
      answer = {
        errors: issues.filter((issue) => issue.severity !== 'warning').map(said),
        warnings: issues.filter((issue) => issue.severity === 'warning').map(said),
      };
    }
  }
  console.log(JSON.stringify(answer));
}
