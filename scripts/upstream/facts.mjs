/** Names that the newer tools have and this project's tables have not: versions, classes, pre-tokenizers, adapter types. Run after the build. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT } from '../setup.mjs'
import { knownPeftTypes } from '../../dist/src/adapters/peft/peft-types.js'
import { supportedArchitectures } from '../../dist/src/architectures/registry.js'
import { ARCHITECTURE_NAMES } from '../../dist/src/inspect/architecture-names.js'
import { PRE_TOKENIZER_HASHES } from '../../dist/src/tokenizers/pre-tokenizer-hashes.js'

/** @param facts  what fixtures/make/upstream_facts.py prints */
export function listNew({ versions, classes, preTokenizers, peftTypes }, report) {
  const pinned = JSON.parse(readFileSync(join(PROJECT, 'reference.json'), 'utf8'))
  for (const [name, version] of Object.entries(versions)) {
    if (pinned[name] !== undefined && pinned[name].version !== version)
      report.line('version', `${name}: ${pinned[name].version} here, ${version ?? 'not installed'} there`)
  }
  const supported = new Set(supportedArchitectures())
  for (const [name, gguf] of Object.entries(classes)) if (!supported.has(name) && !ARCHITECTURE_NAMES.has(name)) report.line('class', `${name} -> ${gguf}: new`)
  for (const name of supported) if (ARCHITECTURE_NAMES.has(name) && classes[name] === undefined) report.line('class', `${name}: gone there`)
  for (const [hash, name] of Object.entries(preTokenizers)) if (PRE_TOKENIZER_HASHES.get(hash) !== name) report.line('pre', `${name}: ${hash}`)
  const types = new Set(knownPeftTypes())
  for (const type of peftTypes) if (!types.has(type)) report.line('adapter', `${type}: new`)
}
