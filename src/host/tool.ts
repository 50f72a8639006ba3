/** Who we are: name, version, and the revisions of the reference tools whose bytes we promise. */
import { readFileSync } from 'node:fs'
import { isObject, parseJsonObject } from '../core/json.js'
import type { ToolFacts } from '../engine/receipt.js'

const ROOT = new URL('../../../', import.meta.url) // of the package: this file is dist/src/host/tool.js

/** Reads package.json and reference.json, which ship with the package. */
export function toolFacts(): ToolFacts {
  const own = readOwn('package.json')
  const reference: Record<string, string> = {}
  for (const [name, facts] of readOwn('reference.json')) {
    if (!isObject(facts)) continue
    const commit = text(facts.get('commit'))
    reference[name] = `${text(facts.get('version'))}${commit === '' ? '' : ` (${commit.slice(0, 7)})`}`
  }
  return { name: text(own.get('name')), version: text(own.get('version')), reference }
}

function readOwn(name: string): ReturnType<typeof parseJsonObject> {
  return parseJsonObject(readFileSync(new URL(name, ROOT)), name)
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
