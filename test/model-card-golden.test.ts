/** general.* and default file names of every golden case, as the reference converter wrote them. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'

import { memorySource } from '../src/core/bytes.js'
import type { Folder } from '../src/core/bytes.js'
import { parseJsonObject } from '../src/core/json.js'
import type { JsonObject } from '../src/core/json.js'
import type { KeyValue } from '../src/core/key-value.js'
import { defaultFileName, fillTemplate } from '../src/model-card/file-name.js'
import { generalKeyValues } from '../src/model-card/general.js'
import type { GeneralMetadata } from '../src/model-card/general.js'
import { countParameters } from '../src/model-card/size-label.js'
import type { ParameterCounts } from '../src/model-card/size-label.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

interface GoldenKeyValue {
  readonly key: string
  readonly type: string
  readonly itemType?: string
  readonly value?: unknown
}

type GoldenTensor = readonly [name: string, type: string, shape: readonly number[], ...unknown[]]

interface Converted {
  readonly tensors: readonly GoldenTensor[]
  readonly resolvedFtype: string
  readonly defaultFileName: string
}

interface GoldenCase {
  readonly inputDir: string
  readonly convert: Readonly<Record<string, Converted>>
  readonly kv: readonly GoldenKeyValue[]
  readonly kvFrom: string
}

const NOT_OURS = new Set(['general.architecture', 'general.type', 'general.file_type', 'general.quantization_version'])
const FILES = ['README.md', 'generation_config.json']

function diskFolder(path: string): Folder {
  const has = (name: string): boolean => existsSync(join(path, name))
  return {
    label: path,
    baseName: path,
    entries: FILES.filter(has).map((name) => ({ name, byteLength: 0 })),
    has,
    open: async (name) => memorySource(name, readFileSync(join(path, name))),
  }
}

function readJson(path: string): JsonObject {
  return existsSync(path) ? parseJsonObject(readFileSync(path), path) : new Map()
}

function parametersOf(tensors: readonly GoldenTensor[]): ParameterCounts {
  return countParameters(tensors.map(([name, , shape]) => ({ name, shape: shape.toReversed() })))
}

function expected(kv: readonly GoldenKeyValue[]): readonly unknown[] {
  return kv.filter(({ key }) => key.startsWith('general.') && !NOT_OURS.has(key)).map(({ key, type, itemType, value }) => [key, type, itemType ?? '', value])
}

function written(keyValues: readonly KeyValue[]): readonly unknown[] {
  const spelt = (type: string): string => (type === 'string' ? 'str' : type)
  return keyValues.map(({ key, value }) => (value.type === 'array' ? [key, 'arr', spelt(value.items), value.value] : [key, spelt(value.type), '', value.value]))
}

const folders = ['gguf', 'gguf-large']
  .map((group) => join(GOLDEN ?? '', group))
  .filter((group) => GOLDEN !== undefined && existsSync(group))
  .flatMap((group) => readdirSync(group).map((name) => join(group, name)))
const load = (folder: string): unknown => JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))

describe('golden general metadata', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const cases = folders.map((folder) => ({ folder, golden: load(folder) as GoldenCase })).filter(({ golden }) => golden.convert !== undefined)

  it('is there for more than 40 cases', () => {
    assert.ok(cases.length > 40, `${cases.length} cases`)
  })

  for (const { folder, golden } of cases) {
    const input = join(folder, golden.inputDir)
    const derive = async (outtype: string): Promise<GeneralMetadata> =>
      generalKeyValues({
        folder: diskFolder(input),
        identity: golden.inputDir,
        config: readJson(join(input, 'config.json')),
        parameters: parametersOf(golden.convert[outtype]?.tensors ?? []),
      })

    it(`${golden.inputDir}: keys, types, values and order are the reference's`, async () => {
      const metadata = await derive(golden.kvFrom)
      assert.deepEqual(written(metadata.keyValues), expected(golden.kv))
      assert.deepEqual(metadata.notes, [])
    })

    for (const [outtype, { resolvedFtype, defaultFileName: name }] of Object.entries(golden.convert)) {
      it(`${golden.inputDir}: ${outtype} is called ${name}`, async () => {
        assert.equal(defaultFileName(await derive(outtype), resolvedFtype.slice(resolvedFtype.indexOf('_') + 1)), name)
      })
    }
  }
})

describe('golden options', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const root = join(GOLDEN ?? '', 'gguf')
  const metadataFile = parseJsonObject(
    new TextEncoder().encode(
      '{"general.name": "Overridden Name", "general.author": "me", "general.version": "v9", "general.quantized_by": "bot", "general.license_name": "custom", "general.base_models": [{"name": "B", "organization": "O", "repo_url": "https://x/y"}], "general.tags": ["a", "b"], "general.languages": ["de"]}',
    ),
    'meta.json',
  )
  const options = [
    ['model-name', { modelName: 'My Model 7B' }],
    ['metadata', { override: metadataFile }],
    ['vocab-only', {}],
    ['template', {}],
  ] as const

  for (const [name, given] of options) {
    it(`${name} gives what the reference writes`, async () => {
      const { results } = load(join(root, 'convert-options')) as {
        results: Record<string, { files: Record<string, { kv: GoldenKeyValue[]; tensors: GoldenTensor[] }> }>
      }
      const { inputDir } = load(join(root, 'llama')) as GoldenCase
      const input = join(root, 'llama', inputDir)
      const [file, { kv, tensors }] = Object.entries(results[name]?.files ?? {})[0] ?? assert.fail(`no result ${name}`)
      const metadata = await generalKeyValues({
        folder: diskFolder(input),
        identity: inputDir,
        config: readJson(join(input, 'config.json')),
        parameters: parametersOf(tensors),
        ...given,
      })
      assert.deepEqual(written(metadata.keyValues), expected(kv))
      if (name === 'template') assert.equal(fillTemplate('m-{ftype}-{OUTTYPE}.gguf', 'Q8_0'), file)
      if (name === 'vocab-only') assert.equal(defaultFileName(metadata, 'BF16', 'vocab'), 'Tiny-Llama-Chat-v1.0-vocab.gguf')
    })
  }

  it('names a LoRA adapter by its folder', async () => {
    const { defaultFileName: names } = load(join(root, 'lora-llama')) as { defaultFileName: readonly string[] }
    const parameters = { total: -1000, shared: 1000, expert: 0, expertCount: 0 }
    const metadata = await generalKeyValues({
      folder: diskFolder(join(root, 'lora-llama', 'adapter-r8')),
      identity: 'adapter-r8',
      config: new Map(),
      parameters,
    })
    assert.deepEqual([defaultFileName(metadata, 'F32', 'LoRA')], names)
  })
})
