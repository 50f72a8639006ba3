/** Every recipe on tiny tokenizers, against what llama.cpp's own `set_vocab` wrote (fixtures/make/tokenizer_cases.py). */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseJsonObject } from '../src/core/json.js'
import type { KeyValue, MetadataValue } from '../src/core/key-value.js'
import { TOKENIZER_RECIPES, type TokenizerRecipe } from '../src/core/tokenizer-recipes.js'
import { tokenTables } from '../src/tokenizers/token-tables.js'
import { memoryFolder } from './support/memory-folder.js'
import { FIXTURES } from './support/paths.js'

type StoredFile = string | { readonly base64: string }
interface ReferenceCase {
  readonly name: string
  readonly recipe: TokenizerRecipe
  /** File -> its number in `files`. */
  readonly files: Readonly<Record<string, number>>
  readonly config: { readonly vocab_size: number }
  readonly pre?: string
  readonly expected: readonly { readonly key: string; readonly type: string; readonly value?: unknown; readonly length?: number; readonly sha256?: string }[]
}

const { files, cases } = JSON.parse(readFileSync(join(FIXTURES, 'tokenizers', 'reference.json'), 'utf8')) as { files: StoredFile[]; cases: ReferenceCase[] }

/** Recipes that no case here reaches, each with what proves it instead. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'deci', // a choice between byteLevel and llama-v5 by size: tokenizers-recipes.test.ts
  'deepseek32', // the reference refuses what we mend
  'graniteHybrid', // mamba2 with another multiple: tokenizers-recipes.test.ts
  'internS1', // its class is not registered in this revision: tokenizers-recipes.test.ts
  'kimiK3', // the reference brings a template of its own
  'mistral', // llama-tekken is the same step
])

describe("every recipe writes the reference's key-values, in order, type and value", () => {
  for (const one of cases) {
    it(one.name, async () => {
      const tables = await tablesOf(one)
      assert.deepEqual(tables.keyValues.map(described), one.expected)
    })
  }

  it('leaves no recipe out', () => {
    const proven = new Set(cases.map(({ recipe }): string => recipe))
    assert.deepEqual(
      Object.keys(TOKENIZER_RECIPES).filter((recipe) => !proven.has(recipe) && !ELSEWHERE.has(recipe)),
      [],
    )
  })
})

async function tablesOf({ name, files: numbers, config, recipe, pre }: ReferenceCase) {
  const contents = Object.entries(numbers).map(([file, number]) => [file, contentOf(files[number] ?? '')])
  const bytes = new TextEncoder().encode(JSON.stringify(config))
  return tokenTables({
    folder: memoryFolder({ ...Object.fromEntries(contents), 'config.json': bytes }, name),
    config: parseJsonObject(bytes, 'config.json'),
    vocabSize: config.vocab_size,
    recipe,
    architecture: 'llama',
    ...(pre === undefined ? {} : { pre }),
  })
}

function contentOf(stored: StoredFile): string | Uint8Array {
  return typeof stored === 'string' ? stored : Uint8Array.from(Buffer.from(stored.base64, 'base64'))
}

function described({ key, value }: KeyValue) {
  if (value.type !== 'array') return { key, type: value.type, value: value.value }
  return { key, type: `${value.items}[]`, length: value.value.length, sha256: createHash('sha256').update(payload(value)).digest('hex') }
}

/** The bytes of an array's items as GGUF holds them. */
function payload(array: MetadataValue & { type: 'array' }): Uint8Array {
  if (array.items === 'f32') return new Uint8Array(Float32Array.from(array.value).buffer)
  if (array.items === 'i32') return new Uint8Array(Int32Array.from(array.value).buffer)
  if (array.items === 'u8') return Uint8Array.from(array.value)
  assert.equal(array.items, 'string')
  return Buffer.concat(
    Array.from<unknown>(array.value).map((item) => {
      assert.ok(typeof item === 'string')
      const text = Buffer.from(item, 'utf8')
      const length = Buffer.alloc(8)
      length.writeBigUInt64LE(BigInt(text.length))
      return Buffer.concat([length, text])
    }),
  )
}
