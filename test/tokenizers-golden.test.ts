import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { bool, inPlace, type KeyValue, type MetadataValue } from '../src/core/key-value.js'
import { isObject, parseJsonObject } from '../src/core/json.js'
import type { TokenizerRecipe } from '../src/core/tokenizer-recipes.js'
import { tokenTables } from '../src/tokenizers/token-tables.js'
import { memoryFolder } from './support/memory-folder.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

/** Value of `architectures` -> recipe, for those of the cases whose recipe is not byteLevel. */
const RECIPES: Readonly<Record<string, TokenizerRecipe>> = {
  LlamaForCausalLM: 'llama',
  MistralForCausalLM: 'llama',
  MixtralForCausalLM: 'llama',
  GraniteForCausalLM: 'llama',
  GraniteMoeForCausalLM: 'llama',
  SmolLM3ForCausalLM: 'llama',
  BaichuanForCausalLM: 'sentencePiece',
  MiniCPMForCausalLM: 'sentencePiece',
  GemmaForCausalLM: 'gemma',
  Gemma2ForCausalLM: 'gemma2',
  Gemma3ForCausalLM: 'gemma3',
  Gemma4ForCausalLM: 'gemma4',
  GlmForCausalLM: 'chatGlm',
  Glm4ForCausalLM: 'glm4',
  Glm4MoeForCausalLM: 'glm4Moe',
  DeepseekV2ForCausalLM: 'deepseek2',
  DeepseekV3ForCausalLM: 'deepseek2',
  InternLM2ForCausalLM: 'internLm2',
  NemotronForCausalLM: 'nemotron',
  Phi3ForCausalLM: 'phi3',
  StableLmForCausalLM: 'stableLm',
  Qwen2ForCausalLM: 'sentencePieceOrByteLevel',
  Qwen3ForCausalLM: 'sentencePieceOrByteLevel',
  Qwen3MoeForCausalLM: 'sentencePieceOrByteLevel',
}

/** Switches that the reference writes among the architecture's parameters: rows of those, not of a recipe. */
const OF_THE_ARCHITECTURE: Readonly<Record<string, readonly KeyValue[]>> = {
  PhiForCausalLM: [{ key: 'tokenizer.ggml.add_bos_token', value: bool(false) }],
  GlmForCausalLM: [{ key: 'tokenizer.ggml.add_bos_token', value: bool(false) }],
}

interface GoldenValue {
  key: string
  type: string
  itemType?: string
  length?: number
  value?: unknown
  valueSha256?: string
  payloadSha256?: string
}

interface GoldenCase {
  readonly name: string
  readonly folder: string
  readonly architecture: string
  readonly expected: { preOverride: string | null; kv: GoldenValue[] }
}

function goldenCases(): GoldenCase[] {
  return ['gguf', 'gguf-large'].flatMap((set) =>
    readdirSync(join(GOLDEN ?? '', set)).flatMap((name) => {
      const file = join(GOLDEN ?? '', set, name, 'expected.json')
      const expected = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
      if (expected.inputDir === undefined || expected.kv === undefined) return []
      const folder = join(GOLDEN ?? '', set, name, expected.inputDir)
      return [{ name, folder, expected, architecture: JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')).architectures[0] }]
    }),
  )
}

function folderOf(path: string) {
  return memoryFolder(
    Object.fromEntries(
      readdirSync(path)
        .filter((name) => !name.endsWith('.safetensors'))
        .map((name) => [name, readFileSync(join(path, name))]),
    ),
  )
}

/** A value as makers/ggufdump.py describes it. */
function described(key: string, value: MetadataValue): GoldenValue {
  const names: Record<string, string> = { string: 'str', array: 'arr' }
  if (value.type !== 'array') {
    const long = typeof value.value === 'string' && [...value.value].length > 2000
    if (long) return { key, type: 'str', valueSha256: createHash('sha256').update(value.value).digest('hex') }
    return { key, type: names[value.type] ?? value.type, value: value.value }
  }
  const items = Array.from(value.value as ArrayLike<unknown>)
  const about = { key, type: 'arr', itemType: names[value.items] ?? value.items, length: items.length }
  return items.length > 64 ? { ...about, payloadSha256: createHash('sha256').update(payload(value.items, items)).digest('hex') } : { ...about, value: items }
}

function payload(type: string, items: unknown[]): Uint8Array {
  if (type === 'f32') return new Uint8Array(Float32Array.from(items as number[]).buffer)
  if (type === 'i32') return new Uint8Array(Int32Array.from(items as number[]).buffer)
  return Buffer.concat(
    items.flatMap((item) => {
      const bytes = Buffer.from(String(item), 'utf8')
      const length = Buffer.alloc(8)
      length.writeBigUInt64LE(BigInt(bytes.length))
      return [length, bytes]
    }),
  )
}

function pick({ key, type, itemType, length, value, valueSha256, payloadSha256 }: GoldenValue): GoldenValue {
  if (valueSha256 !== undefined) return { key, type, valueSha256 }
  const about = itemType === undefined ? { key, type } : { key, type, itemType, length: length ?? 0 }
  return payloadSha256 === undefined ? { ...about, value } : { ...about, payloadSha256 }
}

describe("tokenizer key-values equal the reference converter's, in order, type and value", { skip: SKIP_WITHOUT_GOLDEN }, () => {
  for (const { name, folder, expected, architecture } of GOLDEN === undefined ? [] : goldenCases()) {
    it(name, async () => {
      const config = parseJsonObject(readFileSync(join(folder, 'config.json')), 'config.json')
      const vocabSize = config.get('vocab_size')
      assert.ok(isObject(config) && typeof vocabSize === 'number')
      const request = { folder: folderOf(folder), config, vocabSize, recipe: RECIPES[architecture] ?? ('byteLevel' as const) }
      const tables = await tokenTables(expected.preOverride === null ? request : { ...request, pre: expected.preOverride })
      const wanted = expected.kv.filter(({ key }) => key.startsWith('tokenizer.')).map(pick)
      const got = inPlace([...(OF_THE_ARCHITECTURE[architecture] ?? []), ...tables.keyValues]).map(({ key, value }) => described(key, value))
      if (name === 'command-r') sortTemplateNames(wanted, got) // there the reference's order is that of a Python set
      assert.deepEqual(got, wanted)
    })
  }
})

function sortTemplateNames(...lists: GoldenValue[][]): void {
  for (const list of lists) for (const value of list) if (value.key === 'tokenizer.chat_templates') value.value = [...(value.value as string[])].sort()
}
