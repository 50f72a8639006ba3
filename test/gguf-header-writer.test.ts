import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { GGMLQuantizationType } from '@huggingface/gguf'
import { memorySource } from '../src/core/bytes.js'
import { FormatError, InternalError, UnsupportedError } from '../src/core/errors.js'
import { type KeyValue, type MetadataValue, string, strings, u32 } from '../src/core/key-value.js'
import { isQuantType, QUANT_TYPES, quantBytes, type QuantType } from '../src/core/quant-types.js'
import { permutedRow } from '../src/core/row-order.js'
import { elementCount } from '../src/core/shape.js'
import type { TensorEntry } from '../src/formats/gguf/header-size.js'
import { encodeGgufHeader, type HeaderPlan } from '../src/formats/gguf/header-writer.js'
import { readGgufHeader } from '../src/formats/gguf/header.js'
import { HANG_MS } from './support/hang.js'
import { assertReadsAlike } from './support/gguf-peer.js'
import { INTEGER_LIMITS } from './support/integer-limits.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const ARCHITECTURE: KeyValue = { key: 'general.architecture', value: string('llama') }

describe('encodeGgufHeader', () => {
  it('writes magic, version, counts, key-values, reversed dimensions and padding, byte for byte', () => {
    const header = encodeGgufHeader({
      keyValues: [
        { key: 'a.b', value: u32(7) },
        { key: 'c', value: strings(['x', 'é']) },
      ],
      tensors: [tensor('w', [3, 2], 'f32'), tensor('v', [5], 'f16')],
    })
    assert.equal(
      hex(header.bytes),
      [
        '47475546 03000000 0200000000000000 0200000000000000', // GGUF, version 3, two tensors, two key-values
        '0300000000000000 612e62 04000000 07000000', // "a.b" u32 7
        '0100000000000000 63 09000000 08000000 0200000000000000 0100000000000000 78 0200000000000000 c3a9', // "c" ["x", "é"]
        '0100000000000000 77 02000000 0200000000000000 0300000000000000 00000000 0000000000000000', // "w" [2, 3] f32 at 0
        '0100000000000000 76 01000000 0500000000000000 01000000 2000000000000000', // "v" [5] f16 at 32
        '00'.repeat(192 - 161),
      ]
        .join('')
        .replaceAll(' ', ''),
    )
    assert.equal(header.dataStart, 192)
    assert.deepEqual(header.offsets, [192, 224])
    assert.equal(header.fileSize, 256) // 10 bytes of v, padded to 32
  })

  it('pads nothing that is aligned already, and every tensor to general.alignment when that is set', () => {
    const keyValues: KeyValue[] = [{ key: 'general.alignment', value: u32(64) }]
    const header = encodeGgufHeader({ keyValues, tensors: [tensor('a', [32], 'f32'), tensor('b', [1], 'f32')], alignment: 64 })
    assert.equal(header.dataStart % 64, 0)
    assert.deepEqual(header.offsets, [header.dataStart, header.dataStart + 128])
    assert.equal(header.fileSize, header.dataStart + 192)
  })

  it('ends right after the metadata when there are no tensors, as the reference does for a vocabulary, unless it is told to pad', () => {
    assert.equal(encodeGgufHeader({ keyValues: [ARCHITECTURE], tensors: [] }).fileSize, 24 + 8 + 20 + 4 + 8 + 5)
    assert.equal(encodeGgufHeader({ keyValues: [ARCHITECTURE], tensors: [], padWithoutTensors: true }).fileSize, 96)
  })

  it('keeps offsets exact beyond 2^32 and shapes with a zero dimension at no bytes', async () => {
    const header = encodeGgufHeader({
      keyValues: [],
      tensors: [tensor('big', [70_000, 70_000], 'f32'), tensor('none', [4, 0], 'f32'), tensor('small', [1], 'f32')],
    })
    assert.deepEqual(
      header.offsets.map((offset) => offset - header.dataStart),
      [0, 19_600_000_000, 19_600_000_000],
    )
    assert.equal(header.fileSize, header.dataStart + 19_600_000_032)
  })

  it('accepts the limits of each number type and refuses one beyond, naming the key', () => {
    for (const [type, least, most] of INTEGER_LIMITS) {
      for (const value of [least, most]) assert.ok(encode([{ key: 'k', value: { type, value } }]))
      for (const value of [least - 1, most + 1, 0.5, Number.NaN]) {
        assert.throws(() => encode([{ key: 'the.key', value: { type, value } }]), { constructor: FormatError, message: /"the\.key"/ }, `${type} ${value}`)
        assert.throws(() => encode([{ key: 'the.key', value: { type: 'array', items: type, value: [0, value] } }]), FormatError, `array of ${type} ${value}`)
      }
    }
    for (const value of [-1n, 2n ** 64n]) assert.throws(() => encode([{ key: 'k', value: { type: 'u64', value } }]), FormatError)
    for (const value of [-(2n ** 63n) - 1n, 2n ** 63n])
      assert.throws(() => encode([{ key: 'k', value: { type: 'array', items: 'i64', value: [value] } }]), FormatError)
  })

  it('refuses a finite number that would become infinite in f32, but writes infinities and NaN', () => {
    assert.throws(() => encode([{ key: 'k', value: { type: 'f32', value: 1e39 } }]), FormatError)
    assert.ok(encode([{ key: 'k', value: { type: 'array', items: 'f32', value: [Number.NaN, Number.POSITIVE_INFINITY, 3.4028234663852886e38] } }]))
  })

  it('writes tensor names of 63 bytes and refuses 64, counting bytes, not characters', () => {
    assert.ok(encodeGgufHeader({ keyValues: [], tensors: [tensor('n'.repeat(63), [1], 'f32')] }))
    for (const name of ['n'.repeat(64), 'é'.repeat(32), '']) {
      assert.throws(
        () => encodeGgufHeader({ keyValues: [], tensors: [tensor(name, [1], 'f32')] }),
        (error) => error instanceof UnsupportedError && error.place.tensor === name,
      )
    }
  })

  it('writes 1 to 4 dimensions and refuses 0 and 5, naming the tensor', () => {
    for (const shape of [[2], [2, 2], [2, 2, 2], [2, 2, 2, 2]]) assert.ok(encodeGgufHeader({ keyValues: [], tensors: [tensor('w', shape, 'f32')] }))
    for (const shape of [[], [1, 1, 1, 1, 1]]) {
      assert.throws(
        () => encodeGgufHeader({ keyValues: [], tensors: [tensor('w', shape, 'f32')] }),
        (error) => error instanceof UnsupportedError && error.place.tensor === 'w',
      )
    }
  })

  it('refuses rows that are no whole number of blocks, even when the elements are', () => {
    assert.throws(() => encodeGgufHeader({ keyValues: [], tensors: [{ name: 'w', shape: [2, 16], type: 'q8_0', byteLength: 34 }] }), UnsupportedError)
  })

  it('refuses bytes that do not match shape and type', () => {
    assert.throws(() => encodeGgufHeader({ keyValues: [], tensors: [{ name: 'w', shape: [2], type: 'f32', byteLength: 4 }] }), InternalError)
  })

  it('refuses names and keys that come twice, empty keys, keys of more than 65535 bytes, and NUL in either', () => {
    assert.throws(() => encodeGgufHeader({ keyValues: [], tensors: [tensor('w', [1], 'f32'), tensor('w', [1], 'f32')] }), {
      constructor: FormatError,
      message: /"w"/,
    })
    assert.throws(() => encode([ARCHITECTURE, ARCHITECTURE]), { constructor: FormatError, message: /general\.architecture/ })
    assert.throws(() => encode([{ key: '', value: u32(1) }]), UnsupportedError)
    assert.ok(encode([{ key: 'k'.repeat(65_535), value: u32(1) }]))
    assert.throws(() => encode([{ key: 'k'.repeat(65_536), value: u32(1) }]), UnsupportedError)
    assert.throws(() => encode([{ key: 'a\0b', value: u32(1) }]), FormatError)
    assert.throws(() => encodeGgufHeader({ keyValues: [], tensors: [tensor('a\0b', [1], 'f32')] }), FormatError)
  })

  it('refuses half of a surrogate pair, except those that stand for a byte', () => {
    for (const text of ['\ud800', 'a\udbffb', '\udc7f', '\udd00']) assert.throws(() => encode([{ key: 'k', value: string(text) }]), FormatError)
    assert.equal(hex(encode([{ key: 'k', value: string('a\udcff\udc80') }]).bytes).slice(-6), '61ff80')
    assert.throws(() => encode([{ key: 'k\udcff', value: u32(1) }]), FormatError)
  })

  it('refuses an alignment that the metadata does not say', () => {
    assert.throws(() => encodeGgufHeader({ keyValues: [], tensors: [], alignment: 64 }), InternalError)
    assert.throws(() => encodeGgufHeader({ keyValues: [{ key: 'general.alignment', value: u32(64) }], tensors: [] }), InternalError)
    assert.throws(() => encodeGgufHeader({ keyValues: [{ key: 'general.alignment', value: u32(24) }], tensors: [], alignment: 24 }), InternalError)
  })

  it('encodes and reads back half a million strings in time that does not grow with their square', async () => {
    const tokens = Array.from({ length: 500_000 }, (_, i) => (i % 7 === 0 ? `Ġtökên${i}` : `token${i}`))
    const begin = performance.now()
    const { bytes } = encode([{ key: 'tokenizer.ggml.tokens', value: strings(tokens) }])
    const encoded = performance.now()
    const { keyValues } = await readGgufHeader(memorySource('big.gguf', bytes))
    const done = performance.now()
    assert.deepEqual(keyValues[0]?.value.value, tokens)
    assert.ok(encoded - begin < HANG_MS, `encoding took ${encoded - begin} ms`) // about 100 ms on a quiet machine
    assert.ok(done - encoded < HANG_MS, `reading took ${done - encoded} ms`)
  })
})

describe('the table of tensor types', () => {
  it('has the ids that @huggingface/gguf gives to every type both know', () => {
    const peer = new Map(Object.entries(GGMLQuantizationType).filter((entry): entry is [string, GGMLQuantizationType] => typeof entry[1] === 'number'))
    const shared = [...peer].filter(([name]) => isQuantType(name.toLowerCase()))
    assert.ok(shared.length >= 30, `${shared.length} shared names`)
    for (const [name, id] of shared) assert.equal(QUANT_TYPES[name.toLowerCase() as QuantType].id, id, name)
    const known = new Set(Object.values(QUANT_TYPES).map(({ id }) => id as number))
    const unknown = [...peer].filter(([name, id]) => known.has(id) && !isQuantType(name.toLowerCase()))
    assert.deepEqual(unknown, [], 'ids that are ours under another name')
  })
})

describe('a file that the encoder begins', () => {
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gguf-writer-'))
  })
  after(() => rm(folder, { recursive: true }))

  const plans: readonly { readonly of: string; readonly plan: HeaderPlan }[] = [
    { of: 'every value type', plan: { keyValues: everyValueType(), tensors: [] } },
    {
      of: 'every tensor type',
      plan: {
        keyValues: [ARCHITECTURE],
        tensors: Object.keys(QUANT_TYPES)
          .filter(isQuantType)
          .map((type, i) => tensor(`blk.${i}.${type}`, [3, 512], type)),
      },
    },
    {
      of: 'shapes of 1 to 4 dimensions',
      plan: { keyValues: [ARCHITECTURE], tensors: [[7], [3, 5], [2, 3, 5], [2, 3, 5, 7]].map((shape) => tensor(`w${shape.length}`, shape, 'f16')) },
    },
    {
      of: 'an alignment of 4096',
      plan: { keyValues: [{ key: 'general.alignment', value: u32(4096) }], tensors: [tensor('a', [1], 'f32'), tensor('b', [2], 'i64')], alignment: 4096 },
    },
    { of: 'names beyond ASCII', plan: { keyValues: [{ key: 'clé.ключ', value: string('😀 \0 é') }], tensors: [tensor('тензор', [1], 'f32')] } },
  ]
  for (const { of, plan } of plans) {
    it(`reads alike in @huggingface/gguf: ${of}`, async () => {
      const path = join(folder, 'it.gguf')
      const header = encodeGgufHeader(plan)
      const file = new Uint8Array(header.fileSize)
      file.set(header.bytes)
      await writeFile(path, file)
      const tensors = plan.tensors.map((entry, i) => ({ ...entry, offset: header.offsets[i] ?? -1 }))
      await assertReadsAlike(path, { keyValues: plan.keyValues, tensors })
      const ours = await readGgufHeader(memorySource('it.gguf', file))
      assert.deepEqual(ours.tensors, tensors)
      await assertReadsAlike(path, ours)
    })
  }
})

describe('files of the reference', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const files = SKIP_WITHOUT_GOLDEN ? [] : referenceFiles(join(GOLDEN ?? '', 'gguf'))

  it('have the offsets and sizes that the encoder gives to their tensors', () => {
    for (const { label, dataOffset, fileSize, tensors } of files) {
      if (tensors.length === 0) continue
      const header = encodeGgufHeader({ keyValues: [ARCHITECTURE], tensors: tensors.map(entryOf) })
      assert.deepEqual(
        header.offsets.map((offset) => offset - header.dataStart),
        tensors.map(([, , , offset]) => offset),
        label,
      )
      assert.equal(header.fileSize - header.dataStart, fileSize - dataOffset, label)
    }
    assert.ok(files.length > 100, `${files.length} files`)
  })

  it('begin their data where the encoder does, when expected.json lists all their metadata', () => {
    let checked = 0
    for (const { label, dataOffset, fileSize, tensors, kv } of files) {
      const keyValues = keyValuesOf(kv)
      if (keyValues === undefined) continue
      const header = encodeGgufHeader({ keyValues, tensors: tensors.map(entryOf), padWithoutTensors: true })
      assert.equal(header.dataStart, dataOffset, label)
      assert.equal(header.fileSize, fileSize, label)
      checked++
    }
    assert.ok(checked >= 5, `${checked} files`)
  })

  it('come out byte for byte when their tensors lie in an adapter, unchanged or with rows permuted for rope', async () => {
    const known = new Map<string, Uint8Array>()
    for (const path of filesBelow(join(GOLDEN ?? '', 'gguf', 'lora-llama')).filter((name) => name.endsWith('.safetensors')))
      for (const bytes of asConverted(tensorsOf(path))) known.set(sha256(bytes), bytes)
    let checked = 0
    for (const { label, fileSha256, tensors, kv } of files) {
      const keyValues = keyValuesOf(kv)
      const data = tensors.map(([, , , , , hash]) => known.get(hash))
      if (keyValues === undefined || tensors.length === 0 || data.includes(undefined)) continue
      const header = encodeGgufHeader({ keyValues, tensors: tensors.map(entryOf) })
      const file = new Uint8Array(header.fileSize)
      file.set(header.bytes)
      data.forEach((bytes, i) => file.set(bytes ?? [], header.offsets[i]))
      assert.equal(sha256(file), fileSha256, label)
      checked++
    }
    assert.ok(checked >= 3, `${checked} files could be built`)
  })

  it('that lie in the golden data are encoded again to the same header', async () => {
    const paths = filesBelow(GOLDEN ?? '').filter((path) => path.endsWith('.gguf') && !path.includes('hostile'))
    assert.ok(paths.length > 0)
    for (const path of paths) {
      const bytes = await readFile(path)
      const { keyValues, tensors, dataStart, alignment } = await readGgufHeader(memorySource(path, bytes))
      const header = encodeGgufHeader({ keyValues, tensors, alignment })
      assert.equal(header.dataStart, dataStart, path)
      assert.ok(Buffer.from(header.bytes).equals(bytes.subarray(0, dataStart)), path)
      assert.deepEqual(
        header.offsets,
        tensors.map(({ offset }) => offset),
      )
      assert.equal(header.fileSize, bytes.length)
      await assertReadsAlike(path, { keyValues, tensors })
    }
  })
})

function everyValueType(): KeyValue[] {
  const values: MetadataValue[] = [
    ...INTEGER_LIMITS.flatMap(([type, least, most]): MetadataValue[] => [
      { type, value: least },
      { type, value: most },
      { type: 'array', items: type, value: [least, 0, most] },
    ]),
    { type: 'f32', value: 0.1 },
    { type: 'f32', value: Number.NEGATIVE_INFINITY },
    { type: 'f64', value: 0.1 },
    { type: 'u64', value: 2n ** 64n - 1n },
    { type: 'i64', value: -(2n ** 63n) },
    { type: 'bool', value: true },
    { type: 'bool', value: false },
    { type: 'string', value: '' },
    { type: 'string', value: 'line\r\n\t"quoted" 😀' },
    { type: 'array', items: 'f32', value: [0.1, -0, Number.NaN] },
    { type: 'array', items: 'f64', value: [0.1, Number.MAX_VALUE] },
    { type: 'array', items: 'u64', value: [0n, 2n ** 64n - 1n] },
    { type: 'array', items: 'i64', value: [-(2n ** 63n), 2n ** 63n - 1n] },
    { type: 'array', items: 'bool', value: [true, false, true] },
    { type: 'array', items: 'string', value: ['', 'a', '▁é', '😀'] },
    { type: 'array', items: 'string', value: [] },
    { type: 'array', items: 'u8', value: [] },
  ]
  return values.map((value, i) => ({ key: `k${i}.${value.type}`, value }))
}

function tensor(name: string, shape: readonly number[], type: QuantType): TensorEntry {
  return { name, shape, type, byteLength: quantBytes(type, elementCount(shape)) }
}

function encode(keyValues: readonly KeyValue[]) {
  return encodeGgufHeader({ keyValues, tensors: [] })
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** [name, type, dimensions innermost first, offset in the data, bytes, sha256] */
type ReferenceTensor = [string, string, number[], number, number, string]

interface ReferenceKeyValue {
  readonly key: string
  readonly type: string
  readonly itemType?: string
  readonly value?: unknown
  readonly valueSha256?: string
}

interface ReferenceFile {
  readonly label: string
  readonly dataOffset: number
  readonly fileSize: number
  readonly fileSha256: string
  readonly tensors: readonly ReferenceTensor[]
  readonly kv?: readonly ReferenceKeyValue[]
}

/** Every description of a file in the expected.json files, wherever it stands in them. */
function referenceFiles(folder: string): ReferenceFile[] {
  const found: ReferenceFile[] = []
  const visit = (label: string, node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    if ('dataOffset' in node && 'tensors' in node && 'fileSha256' in node) found.push({ ...(node as Omit<ReferenceFile, 'label'>), label })
    else for (const [key, child] of Object.entries(node)) visit(`${label} ${key}`, child)
  }
  for (const name of readdirSync(folder)) visit(name, JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8')))
  return found
}

function entryOf([name, type, dimensions, , byteLength]: ReferenceTensor): TensorEntry {
  const known = type.toLowerCase()
  assert.ok(isQuantType(known), type)
  return { name, type: known, shape: dimensions.toReversed(), byteLength }
}

/** Undefined when a value is given as a hash only, or the file has no list of its own. */
function keyValuesOf(kv: readonly ReferenceKeyValue[] | undefined): KeyValue[] | undefined {
  if (kv === undefined || kv.some(({ value, valueSha256 }) => value === undefined || valueSha256 !== undefined)) return undefined
  return kv.map(({ key, type, itemType, value }) => {
    const typed = type === 'arr' ? { type: 'array', items: itemType === 'str' ? 'string' : itemType, value } : { type: type === 'str' ? 'string' : type, value }
    return { key, value: (type === 'u64' || type === 'i64' ? { type, value: BigInt(value as number) } : typed) as MetadataValue }
  })
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
}

interface StoredTensor {
  readonly bytes: Uint8Array
  readonly rows: number
}

/** The tensors as the reference may write them: as they are, and as the query and key weights of 4 and 2 heads. */
function asConverted(tensors: readonly StoredTensor[]): Uint8Array[] {
  return tensors.flatMap(({ bytes, rows }) => [bytes, ...[4, 2].filter((heads) => rows % (2 * heads) === 0).map((heads) => permuteRows(bytes, rows, heads))])
}

function permuteRows(bytes: Uint8Array, rows: number, heads: number): Uint8Array {
  const rowBytes = bytes.length / rows
  const permuted = new Uint8Array(bytes.length)
  for (let row = 0; row < rows; row++) {
    const from = permutedRow([heads, 2, rows / heads / 2], [0, 2, 1], row) * rowBytes
    permuted.set(bytes.subarray(from, from + rowBytes), row * rowBytes)
  }
  return permuted
}

/** Tensors of a safetensors file that is known to be good. */
function tensorsOf(path: string): StoredTensor[] {
  const file = readFileSync(path)
  const start = 8 + Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, { shape?: [number]; data_offsets?: [number, number] }>
  return Object.values(header).flatMap(({ shape, data_offsets: range }) =>
    range === undefined ? [] : [{ bytes: file.subarray(start + range[0], start + range[1]), rows: shape?.[0] ?? 1 }],
  )
}
