/** Order, types, sizes, offsets and metadata of every file that llama-quantize wrote of the golden models, from their headers alone. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { memorySource } from '../src/core/bytes.js'
import { UsageError } from '../src/core/errors.js'
import { string, type KeyValue, type MetadataValue } from '../src/core/key-value.js'
import { isQuantType, quantBytes } from '../src/core/quant-types.js'
import { elementCount } from '../src/core/shape.js'
import { readImatrix, selectWeights } from '../src/formats/imatrix/imatrix.js'
import { fileTypeRow, isNamedFileType, normalTypeName, type NamedFileType } from '../src/quantize/file-types.js'
import { quantizeHparams } from '../src/quantize/policy-hparams.js'
import { keptSplitKeyValues, parseKeyValueOverride, quantizedKeyValues, withKeyValues } from '../src/quantize/policy-key-values.js'
import { parseLayers } from '../src/quantize/policy-layers.js'
import { quantizePlan, type QuantizeOptions, type QuantizePlan, type QuantizeSource } from '../src/quantize/policy.js'
import { parseTensorType, parseTypeOverride } from '../src/quantize/type-overrides.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

/** Name, TYPE, shape innermost first, offset from the start of the data, bytes. */
type Row = readonly [string, string, readonly number[], number, number, ...string[]]
interface File {
  readonly fileSize: number
  readonly dataOffset: number
  readonly tensors: readonly Row[]
  readonly kv?: readonly GoldenKeyValue[]
}
interface GoldenKeyValue {
  readonly key: string
  readonly type: string
  readonly value?: unknown
}
interface Case {
  readonly convert: Readonly<Record<string, File & { readonly kvDiff?: unknown }>>
  readonly quantize: Readonly<Record<string, File & { readonly fileType: number }>>
  readonly kv: readonly GoldenKeyValue[]
  readonly kvQuantizeOrder: readonly string[]
}

/** A source: what the plan needs of a GGUF file. */
interface Source {
  readonly tensors: readonly QuantizeSource[]
  readonly keyValues: readonly KeyValue[]
}

describe('the plan of a quantized file', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const folder = join(GOLDEN, 'gguf')
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name, 'expected.json')
    if (!existsSync(path)) continue
    const expected = readCase(path)
    if (Object.keys(expected.quantize ?? {}).length === 0) continue

    it(`has the tensors and keys of ${name} as llama-quantize writes them`, () => {
      const source = sourceOf(expected, 'f16')
      for (const [typed, file] of Object.entries(expected.quantize)) {
        const fileType = fileTypeOf(typed)
        assert.deepEqual(layout(source, planOf(source, fileType)), layoutOf(file), typed)
        const keys = quantizedKeyValues(source.keyValues, { fileTypeId: fileTypeRow(fileType).id }).map(({ key }) => key)
        assert.deepEqual(keys, expected.kvQuantizeOrder, typed)
        assert.equal(fileTypeRow(fileType).id, file.fileType)
      }
    })
  }
})

describe('the options of llama-quantize', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const folder = join(GOLDEN, 'gguf')
  const llama = readCase(join(folder, 'llama', 'expected.json'))
  const bases: Readonly<Record<string, Source>> = {
    ...Object.fromEntries(['f16', 'f32', 'bf16', 'q8_0'].map((outtype) => [outtype, sourceOf(llama, outtype)])),
    sharded12: sourceOf(readCase(join(folder, 'llama-sharded', 'expected.json')), 'f16'),
    qwen2: sourceOf(readCase(join(folder, 'qwen2', 'expected.json')), 'f16'),
    moe: sourceOf(readCase(join(folder, 'qwen3_moe', 'expected.json')), 'f16'),
  }
  interface Option extends File {
    readonly base: string
    readonly args: readonly string[]
    readonly ftype: string
  }
  const expected = JSON.parse(readFileSync(join(folder, 'quantize-options', 'expected.json'), 'utf8')) as {
    readonly results: Readonly<Record<string, Option>>
    readonly 'keepSplit q4_K_M': Readonly<Record<string, File>>
    readonly 'ggufSplit tensors=8': Readonly<Record<string, File>>
  }

  for (const [name, file] of Object.entries(expected.results)) {
    it(`give the types and keys of "${name}"`, () => {
      const source = bases[file.base]
      assert.ok(source !== undefined, file.base)
      const fileType = file.ftype === 'COPY' ? 'copy' : fileTypeOf(file.ftype)
      const { options, overrides } = optionsOf(file.args)
      const plan = planOf(source, fileType, options)
      assert.deepEqual(layout(source, plan), layoutOf(file))
      if (file.kv === undefined) return
      const fileTypeId = fileType === 'copy' ? 0 : fileTypeRow(fileType).id
      const pruned = plan.layers === undefined ? {} : { pruned: { architecture: architectureOf(source), layers: plan.layers } }
      assert.deepEqual(comparable(quantizedKeyValues(source.keyValues, { fileTypeId, overrides, ...pruned })), comparable(file.kv.map(keyValueOf)))
    })
  }

  it('keep the parts of a split file', () => {
    const parts = Object.values(expected['ggufSplit tensors=8'])
    const tensors = parts.flatMap((part) => part.tensors.map(sourceTensor))
    const source = { tensors, keyValues: (parts[0]?.kv ?? []).map(keyValueOf) }
    const plan = planOf(source, 'q4_k_m', { keepOrder: true })
    const files = Object.values(expected['keepSplit q4_K_M'])
    assert.deepEqual(
      plan.tensors.map(({ name, type }) => [name, type.toUpperCase()]),
      files.flatMap((part) => part.tensors.map(([name, type]) => [name, type])),
    )
    files.forEach((file, part) => {
      const own = keptSplitKeyValues(part, files.length, tensors.length)
      const all = part === 0 ? withKeyValues(quantizedKeyValues(source.keyValues, { fileTypeId: 15 }), own) : own
      assert.deepEqual(comparable(all), comparable((file.kv ?? []).map(keyValueOf)))
    })
  })

  it('refuse what llama-quantize refuses', () => {
    assert.throws(() => planOf(bases['q8_0'], 'q4_k_m'), UsageError)
    assert.throws(() => planOf(bases['f16'], 'q2_k_s'), UsageError)
  })
})

describe('a run with an importance matrix', { skip: SKIP_WITHOUT_GOLDEN }, async () => {
  if (GOLDEN === undefined) return
  const folder = join(GOLDEN, 'gguf')
  const source = sourceOf(readCase(join(folder, 'llama', 'expected.json')), 'f16')
  const imatrix = await readImatrix(memorySource('imatrix.gguf', new Uint8Array(readFileSync(join(folder, 'imatrix-llama', 'imatrix.gguf')))))
  const { results, kv } = JSON.parse(readFileSync(join(folder, 'imatrix-llama', 'expected.json'), 'utf8')) as {
    readonly results: Readonly<Record<string, File>>
    readonly kv: readonly GoldenKeyValue[]
  }

  for (const [run, file] of Object.entries(results)) {
    it(`has the types of ${run}`, () => {
      const [typed = '', option, part = ''] = run.split(' ')
      const selection = option === undefined ? {} : option === '--include-weights' ? { include: [part] } : { exclude: [part] }
      const { entries } = selectWeights(imatrix, selection)
      const plan = planOf(source, fileTypeOf(typed), {}, (name) => entries.get(name)?.values.length)
      assert.deepEqual(layout(source, plan), layoutOf(file))
      for (const { name, quantized, importance } of plan.tensors) assert.equal(importance, quantized && entries.has(name) ? name : undefined, name)
    })
  }

  it('has the keys of llama-quantize', () => {
    const { datasets, chunkCount, entries } = imatrix
    const keyValues = quantizedKeyValues(source.keyValues, {
      fileTypeId: 2,
      importance: { file: 'imatrix.gguf', datasets, entryCount: entries.size, chunkCount },
    })
    assert.deepEqual(comparable(keyValues), comparable(kv.map(keyValueOf)))
  })
})

function readCase(path: string): Case {
  return JSON.parse(readFileSync(path, 'utf8')) as Case
}

function sourceOf({ convert, kv }: Case, outtype: string): Source {
  return { tensors: (convert[outtype]?.tensors ?? []).map(sourceTensor), keyValues: kv.map(keyValueOf) }
}

function sourceTensor([name, type, dimensions]: Row): QuantizeSource {
  const storedType = type.toLowerCase()
  assert.ok(isQuantType(storedType), type)
  return { name, shape: dimensions.toReversed(), storedType }
}

/** Values that the golden data has only hashes of become texts: the plan never reads them. */
function keyValueOf({ key, type, value }: GoldenKeyValue): KeyValue {
  if (Array.isArray(value)) return { key, value: { type: 'array', items: value.some((item) => typeof item === 'string') ? 'string' : 'f64', value } }
  if (type === 'arr') return { key, value: string('a long list') }
  return { key, value: { type: type === 'str' ? 'string' : type, value } as MetadataValue }
}

/** f32s of the golden data are printed as f64; file types of the converter's outtypes differ from the one the keys are of. */
function comparable(keyValues: readonly KeyValue[]): unknown[] {
  return keyValues.map(({ key, value }) => [key, value.type, value.type === 'f32' ? Math.fround(value.value) : value.value])
}

function architectureOf({ keyValues }: Source): string {
  const value = keyValues.find(({ key }) => key === 'general.architecture')?.value
  assert.ok(value?.type === 'string')
  return value.value
}

function fileTypeOf(typed: string): NamedFileType {
  const fileType = normalTypeName(typed)
  assert.ok(isNamedFileType(fileType), typed)
  return fileType
}

function planOf(
  source: Source | undefined,
  fileType: NamedFileType | 'copy',
  options: QuantizeOptions = {},
  importance?: (name: string) => number | undefined,
): QuantizePlan {
  assert.ok(source !== undefined)
  const architecture = architectureOf(source)
  const hparams = quantizeHparams(source.keyValues, architecture)
  return quantizePlan({ fileType, architecture, hparams, tensors: source.tensors, options, ...(importance === undefined ? {} : { importance }) })
}

function optionsOf(args: readonly string[]): { options: QuantizeOptions; overrides: KeyValue[] } {
  const values = (option: string): string[] => args.flatMap((arg, i) => (arg === option ? [args[i + 1] ?? ''] : []))
  const [output] = values('--output-tensor-type')
  const [embedding] = values('--token-embedding-type')
  const [layers] = values('--prune-layers')
  return {
    options: {
      pure: args.includes('--pure'),
      leaveOutputTensor: args.includes('--leave-output-tensor'),
      allowRequantize: args.includes('--allow-requantize'),
      tensorTypes: values('--tensor-type').map((value) => parseTypeOverride('--tensor-type', value)),
      ...(output === undefined ? {} : { outputTensorType: parseTensorType('--output-tensor-type', output) }),
      ...(embedding === undefined ? {} : { tokenEmbeddingType: parseTensorType('--token-embedding-type', embedding) }),
      ...(layers === undefined ? {} : { pruneLayers: parseLayers('--prune-layers', layers) }),
    },
    overrides: values('--override-kv').map((value) => parseKeyValueOverride('--override-kv', value)),
  }
}

/** What a plan makes of a file, in the golden data's form. */
function layout({ tensors }: Source, plan: QuantizePlan): { tensors: unknown[]; dataBytes: number } {
  let offset = 0
  const rows = plan.tensors.map(({ index, name, type }) => {
    const shape = tensors[index]?.shape ?? []
    const bytes = quantBytes(type, elementCount(shape))
    const row = [name, type.toUpperCase(), shape.toReversed(), offset, bytes]
    offset += Math.ceil(bytes / 32) * 32
    return row
  })
  return { tensors: rows, dataBytes: offset }
}

function layoutOf({ tensors, fileSize, dataOffset }: File): { tensors: unknown[]; dataBytes: number } {
  return { tensors: tensors.map((row) => row.slice(0, 5)), dataBytes: fileSize - dataOffset }
}
