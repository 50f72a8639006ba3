import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { type ByteSource, memorySource } from '../src/core/bytes.js'
import { FormatError, ToolkitError, UnsupportedError } from '../src/core/errors.js'
import { type KeyValue, type MetadataValue, string, strings, u32 } from '../src/core/key-value.js'
import { isQuantType, QUANT_TYPES, quantBytes, type QuantType } from '../src/core/quant-types.js'
import { elementCount } from '../src/core/shape.js'
import type { TensorEntry } from '../src/formats/gguf/header-size.js'
import { encodeGgufHeader } from '../src/formats/gguf/header-writer.js'
import { type GgufHeader, readGgufHeader } from '../src/formats/gguf/header.js'
import { HANG_MS } from './support/hang.js'
import { INTEGER_LIMITS } from './support/integer-limits.js'

const TERABYTE = 2 ** 40

describe('readGgufHeader', () => {
  it('reads back what the encoder wrote: every key, type and value, every tensor', async () => {
    await fc.assert(
      fc.asyncProperty(KEY_VALUES, TENSORS, async (keyValues, tensors) => {
        const plan = encodeGgufHeader({ keyValues, tensors })
        const header = await read(fileOf(keyValues, tensors))
        assert.deepEqual(header.keyValues.map(plain), keyValues.map(plain))
        assert.deepEqual(
          header.tensors,
          tensors.map((tensor, i) => ({ ...tensor, offset: plan.offsets[i] })),
        )
        assert.equal(header.dataStart, tensors.length > 0 ? plan.dataStart : Math.ceil(plan.dataStart / 32) * 32)
        assert.equal(header.version, 3)
        assert.equal(header.alignment, 32)
      }),
      { seed: 4, numRuns: 300 },
    )
  })

  it('gives arrays of numbers as typed arrays', async () => {
    const kinds = {
      u8: Uint8Array,
      i8: Int8Array,
      u16: Uint16Array,
      i16: Int16Array,
      u32: Uint32Array,
      i32: Int32Array,
      f32: Float32Array,
      f64: Float64Array,
    } as const
    for (const [items, kind] of Object.entries(kinds)) {
      const header = await read(fileOf([{ key: 'k', value: { type: 'array', items: items as keyof typeof kinds, value: [1, 2] } }], []))
      assert.ok(header.keyValues[0]?.value.value instanceof kind, items)
    }
    for (const [items, kind] of [
      ['u64', BigUint64Array],
      ['i64', BigInt64Array],
    ] as const) {
      const header = await read(fileOf([{ key: 'k', value: { type: 'array', items, value: [1n, 2n] } }], []))
      assert.ok(header.keyValues[0]?.value.value instanceof kind, items)
    }
  })

  it('reads values that reach over many windows', async () => {
    const keyValues: KeyValue[] = [
      { key: 'before', value: string('é'.repeat(40_000)) },
      { key: 'long', value: string('▁'.repeat(3_000_000)) },
      { key: 'numbers', value: { type: 'array', items: 'f64', value: Float64Array.from({ length: 400_000 }, (_, i) => i / 3) } },
      { key: 'flags', value: { type: 'array', items: 'bool', value: Array.from({ length: 100_000 }, (_, i) => i % 3 === 0) } },
      { key: 'pieces', value: strings(Array.from({ length: 30_000 }, (_, i) => `${i}▁`.repeat(i % 9))) },
    ]
    const { keyValues: found } = await read(fileOf(keyValues, [tensor('w', [3], 'f32')]))
    assert.deepEqual(found.map(plain), keyValues.map(plain))
  })

  it('reads version 2', async () => {
    const file = fileOf([{ key: 'k', value: u32(1) }], [tensor('w', [3], 'f32')])
    file[4] = 2
    const header = await read(file)
    assert.equal(header.version, 2)
    assert.equal(header.tensors[0]?.name, 'w')
  })

  it('reads the first part of a split file, with and without tensors', async () => {
    const keyValues: KeyValue[] = [
      { key: 'split.no', value: { type: 'u16', value: 0 } },
      { key: 'split.count', value: { type: 'u16', value: 2 } },
      { key: 'split.tensors.count', value: { type: 'i32', value: 2 } },
    ]
    assert.equal((await read(fileOf(keyValues, [tensor('w', [3], 'f32')]))).tensors.length, 1)
    assert.equal((await read(fileOf(keyValues, []))).tensors.length, 0)
    assert.equal((await read(encodeGgufHeader({ keyValues, tensors: [], padWithoutTensors: true }).bytes)).keyValues.length, 3)
  })

  it('reads a tensor of no dimensions as one element', async () => {
    const header = await read(rawTensor({ dimensions: [] }))
    assert.deepEqual(header.tensors[0], { name: 'w', type: 'f32', shape: [], offset: header.dataStart, byteLength: 4 })
  })

  it('keeps string values that are not UTF-8, so that they are written again byte for byte', async () => {
    const file = fileOf([{ key: 'k', value: strings(['\udcff', 'a\udce2\udc96', '▁']) }], [])
    assert.deepEqual(encodeGgufHeader({ keyValues: (await read(file)).keyValues, tensors: [] }).bytes, file)
  })

  it('accepts a last tensor without padding and bytes after the last tensor', async () => {
    const file = fileOf([], [tensor('w', [3], 'f32')])
    const { tensors } = await read(file)
    const end = (tensors[0]?.offset ?? 0) + 12
    assert.deepEqual((await read(file.subarray(0, end))).tensors, tensors)
    assert.deepEqual((await read(Uint8Array.from([...file, 1, 2, 3]))).tensors, tensors)
    await refuses(file.subarray(0, end - 1), FormatError, /cut short/)
  })

  it('refuses a file cut at any byte before the end of its data, with a FormatError', async () => {
    const file = everythingFile()
    const { tensors } = await read(file)
    const last = tensors.at(-1)
    assert.ok(last)
    for (let length = 0; length < last.offset + last.byteLength; length++) {
      await assert.rejects(read(file.subarray(0, length)), FormatError, `cut at ${length}`)
    }
  })

  it('lets only toolkit errors out, and only true headers through, when bytes are damaged', async () => {
    const file = everythingFile()
    let accepted = 0
    for (const mutant of mutants(file, 20_261_122, 6000)) {
      const begin = performance.now()
      const header = await read(mutant).catch((error: unknown) => {
        assert.ok(error instanceof ToolkitError && [3, 4].includes(error.exitCode), error instanceof Error ? error.stack : String(error))
        assert.ok(!error.message.includes('\n') && error.message.length < 600, error.message)
        return undefined
      })
      assert.ok(performance.now() - begin < HANG_MS)
      if (header === undefined) continue
      accepted++
      assertSound(header, mutant.length)
    }
    assert.ok(accepted > 100 && accepted < 5000, `${accepted} accepted`)
  })

  it('reads no more than one window of a huge file with a small header', async () => {
    const reads: number[] = []
    const { bytes } = encodeGgufHeader({ keyValues: [{ key: 'k', value: u32(1) }], tensors: [tensor('w', [2 ** 37], 'f32')] })
    const { tensors } = await readGgufHeader(recorded(bytes, TERABYTE, reads))
    assert.equal(tensors[0]?.byteLength, 2 ** 39)
    assert.ok(reads.reduce((sum, bytes) => sum + bytes, 0) <= 64 * 1024 + 256, reads.join())
  })

  it('takes no memory for lengths that a huge file could hold but no header has', async () => {
    const claims = [
      bytesOf('0100000000000000', '6b', '08000000', u64(300n * 2n ** 20n)), // a string of 300 MiB
      bytesOf('0100000000000000', '6b', '09000000', '0a000000', u64(2n ** 30n)), // 2^30 u64
      bytesOf('0100000000000000', '6b', '09000000', '07000000', u64(2n ** 33n)), // 2^33 booleans
      bytesOf('0100000000000000', '6b', '09000000', '08000000', u64(2n ** 29n)), // 2^29 strings
      bytesOf(u64(2n ** 32n), '6b'), // a key of 4 GiB
    ]
    for (const claim of claims) {
      const reads: number[] = []
      const file = bytesOf('47475546 03000000 0000000000000000 0100000000000000', Buffer.from(claim).toString('hex'))
      await assert.rejects(readGgufHeader(recorded(file, TERABYTE, reads)), { constructor: UnsupportedError, message: /not supported/ })
      assert.ok(Math.max(...reads) <= 64 * 1024)
    }
  })

  it('refuses counts that the rest of the file cannot hold, at once', async () => {
    for (const [tensors, keyValues] of [
      [2n ** 64n - 1n, 0n],
      [0n, 2n ** 63n],
      [2n ** 40n, 0n],
      [2n, 2n],
      [5n, 0n],
      [0n, 9n],
    ] as const) {
      const file = bytesOf('47475546 03000000', u64(tensors), u64(keyValues), '00'.repeat(72))
      await refuses(file, FormatError, /are left|empty|stands twice/)
    }
  })

  it('names big-endian files, old versions, future versions and damaged ones', async () => {
    const versions = [
      ['00000003', UnsupportedError, /big-endian/],
      ['00000002', UnsupportedError, /big-endian/],
      ['01000000', UnsupportedError, /version 1/],
      ['04000000', UnsupportedError, /version 4/],
      ['00000000', FormatError, /version 0/],
      ['ffffffff', FormatError, /version 4294967295/],
    ] as const
    for (const [version, kind, message] of versions) await refuses(bytesOf('47475546', version, '00'.repeat(24)), kind, message)
  })

  it('names what a file is that is no GGUF file', async () => {
    const kinds = [
      ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4976698672\n', /Git LFS pointer.*4976698672/],
      ['<!DOCTYPE html><html>', /HTML/],
      ['PK\x03\x04............', /zip/],
      ['\x80\x02}q', /pickle/],
      ['\x20\0\0\0\0\0\0\0{"a":{}}', /safetensors/],
      ['{"a": 1}', /JSON/],
      ['\0'.repeat(64), /zeros/],
      ['', /empty/],
      ['GGU', /GGUF/],
      ['gguf\x03\0\0\0', /GGUF/],
      ['\x1b[31m\xff', /GGUF/],
    ] as const
    for (const [text, message] of kinds)
      await refuses(
        Uint8Array.from(text, (c) => c.charCodeAt(0)),
        FormatError,
        message,
      )
    for (const magic of ['lmgg', 'tjgg', 'algg', 'fmgg'])
      await refuses(
        Uint8Array.from(`${magic}\x01\0\0\0`, (c) => c.charCodeAt(0)),
        UnsupportedError,
        /old ggml/,
      )
  })

  it('refuses keys that are empty, doubled, not UTF-8, hold a NUL, or have more than 65535 bytes', async () => {
    const entry = (key: string, length = key.length / 2) => `${u64(BigInt(length))} ${key} 0000 0000 01`
    await refuses(rawMetadata(1, entry('')), FormatError, /empty/)
    await refuses(rawMetadata(2, entry('6b'), entry('6b')), FormatError, /"k" stands twice/)
    await refuses(rawMetadata(1, entry('6bff')), FormatError, /UTF-8/)
    await refuses(rawMetadata(1, entry('6b0078')), FormatError, /NUL/)
    await refuses(rawMetadata(1, entry('6b'.repeat(65_536))), FormatError, /65535/)
    assert.equal((await read(rawMetadata(1, entry('6b'.repeat(65_535))))).keyValues.length, 1)
  })

  it('refuses unknown value types and arrays of arrays, however deep, without recursion', async () => {
    await refuses(rawMetadata(1, u64(1n), '6b', '0d000000', '00'.repeat(8)), FormatError, /type of the key "k" is 13/)
    await refuses(rawMetadata(1, u64(1n), '6b', '09000000', 'ffffffff', '00'.repeat(8)), FormatError, /4294967295/)
    await refuses(rawMetadata(1, u64(1n), '6b', `09000000`, `09000000 ${u64(1n)}`.repeat(50_000)), UnsupportedError, /array of arrays/)
  })

  it('refuses a general.alignment that is no u32 or no power of two', async () => {
    const alignment = (type: string, value: string) => rawMetadata(1, u64(17n), Buffer.from('general.alignment').toString('hex'), type, value)
    for (const value of ['00000000', '03000000', '1f000000', 'ffffffff']) await refuses(alignment('04000000', value), FormatError, /power of two/)
    await refuses(alignment('0a000000', u64(32n)), FormatError, /u32/)
    assert.equal((await read(alignment('04000000', '00000080'))).alignment, 2 ** 31)
  })

  it('names removed and unknown tensor types', async () => {
    await refuses(rawTensor({ type: 31 }), UnsupportedError, /31 \(q4_0_4_4\)/)
    await refuses(rawTensor({ type: 4 }), UnsupportedError, /q4_2/)
    await refuses(rawTensor({ type: 43 }), FormatError, /unknown type 43/)
    await refuses(rawTensor({ type: 0xffffffff }), FormatError, /4294967295/)
  })

  it('refuses shapes whose elements or bytes wrap or pass 2^53, and a zero cannot hide them', async () => {
    for (const dimensions of [
      [2n ** 64n - 1n],
      [2n ** 53n],
      [2n ** 32n, 2n ** 32n],
      [2n ** 31n, 2n ** 31n, 4n],
      [4n, 1073741823n, 1073741825n],
      [0n, 2n ** 40n, 2n ** 40n],
      [2n ** 52n],
    ]) {
      await refuses(rawTensor({ dimensions }), FormatError, /2\^53/)
    }
    await refuses(rawTensor({ dimensions: [5_124_095_576_030_431_008n], type: QUANT_TYPES.q4_0.id }), FormatError, /2\^53/)
  })

  it('refuses 5 dimensions, long names, NUL in names, and rows that cut a block', async () => {
    await refuses(rawTensor({ dimensions: [1n, 1n, 1n, 1n, 1n] }), FormatError, /5 dimensions/)
    await refuses(rawTensor({ name: '6e'.repeat(64) }), FormatError, /64 bytes; at most 63/)
    assert.equal((await read(rawTensor({ name: '6e'.repeat(63) }))).tensors.length, 1)
    await refuses(rawTensor({ name: '77ff' }), FormatError, /UTF-8/)
    await refuses(rawTensor({ name: '770078' }), FormatError, /NUL/)
    await refuses(rawTensor({ dimensions: [16n, 2n], type: QUANT_TYPES.q8_0.id }), FormatError, /multiple of 32 elements, found 16/)
  })

  it('refuses tensors that overlap, leave a hole, stand in another order, or point before the data', async () => {
    for (const offsets of [
      [0, 0],
      [0, 64],
      [32, 0],
      [0, 33],
      [32, 64],
    ]) {
      await refuses(
        rawTensors(offsets.map((offset, i) => ({ name: i === 0 ? '61' : '62', dimensions: [8n], offset: BigInt(offset) }))),
        FormatError,
        /begins at offset/,
      )
    }
    await refuses(rawTensor({ offset: 2n ** 64n - 32n }), FormatError, /offset 18446744073709551584/)
    await refuses(rawTensors([{ name: '77' }, { name: '77', offset: 32n }]), FormatError, /stands twice/)
  })

  it('says file, tensor and place', async () => {
    await assert.rejects(
      read(rawTensor({ type: 99 })),
      (error) => error instanceof FormatError && error.place.file === 'it.gguf' && error.place.tensor === 'w' && error.place.offset === 24,
    )
  })
})

function read(bytes: Uint8Array): Promise<GgufHeader> {
  return readGgufHeader(memorySource('it.gguf', bytes))
}

async function refuses(bytes: Uint8Array, kind: new (...args: never[]) => ToolkitError, message: RegExp): Promise<void> {
  await assert.rejects(read(bytes), (error) => {
    assert.ok(error instanceof kind, String(error))
    assert.match(error.message, message)
    assert.match(error.message, /^[\x20-\x7e]*$/)
    assert.equal(error.place.file, 'it.gguf')
    return true
  })
}

/** A whole file: header and data, which is zeros. */
function fileOf(keyValues: readonly KeyValue[], tensors: readonly TensorEntry[]): Uint8Array {
  const { bytes, fileSize } = encodeGgufHeader({ keyValues, tensors })
  const file = new Uint8Array(fileSize)
  file.set(bytes)
  return file
}

function tensor(name: string, shape: readonly number[], type: QuantType): TensorEntry {
  return { name, shape, type, byteLength: quantBytes(type, elementCount(shape)) }
}

function plain({ key, value }: KeyValue): unknown {
  return { key, ...value, value: value.type === 'array' ? Array.from<unknown>(value.value) : value.value }
}

/** Some of everything, in less than 1 KiB. */
function everythingFile(): Uint8Array {
  const keyValues: KeyValue[] = [
    { key: 'general.architecture', value: string('llama') },
    { key: 'general.alignment', value: u32(16) },
    { key: 'a', value: { type: 'u64', value: 2n ** 60n } },
    { key: 'b', value: { type: 'bool', value: true } },
    { key: 'c', value: { type: 'f64', value: 1.5 } },
    { key: 'tokens', value: strings(['<s>', '', '▁é', '\udcff']) },
    { key: 'scores', value: { type: 'array', items: 'f32', value: [0, -1, 2.5] } },
    { key: 'flags', value: { type: 'array', items: 'bool', value: [true, false] } },
    { key: 'big', value: { type: 'array', items: 'i64', value: [-1n] } },
  ]
  const tensors = [tensor('a', [3, 2], 'f32'), tensor('b', [2, 32], 'q8_0'), tensor('c', [5], 'f16')]
  const { bytes, fileSize } = encodeGgufHeader({ keyValues, tensors, alignment: 16 })
  const file = new Uint8Array(fileSize)
  file.set(bytes)
  return file
}

/** What every accepted header promises, whatever the bytes were. */
function assertSound({ keyValues, tensors, dataStart, alignment }: GgufHeader, fileBytes: number): void {
  assert.equal(new Set(keyValues.map(({ key }) => key)).size, keyValues.length)
  assert.equal(new Set(tensors.map(({ name }) => name)).size, tensors.length)
  let end = dataStart
  for (const { type, shape, offset, byteLength } of tensors) {
    assert.ok(isQuantType(type) && offset >= end && offset % alignment === 0 && shape.length <= 4)
    assert.equal(byteLength, quantBytes(type, elementCount(shape)))
    end = offset + byteLength
    assert.ok(end <= fileBytes)
  }
}

const EDGES = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n + 1n,
  2n ** 62n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 8n,
  2n ** 64n - 1n,
]

/** Damaged copies of a file: flipped bits, bytes, u32 and u64 at the edges of their ranges, cuts, insertions. The same for the same seed. */
function* mutants(file: Uint8Array, seed: number, count: number): Generator<Uint8Array> {
  let state = seed >>> 0
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  for (let i = 0; i < count; i++) {
    let mutant = Buffer.from(file)
    for (let steps = 1 + below(2); steps > 0; steps--) {
      const at = below(Math.max(1, mutant.length - 8))
      const edge = EDGES[below(EDGES.length)] ?? 0n
      switch (below(7)) {
        case 0:
          mutant[at] = (mutant[at] ?? 0) ^ (1 << below(8))
          break
        case 1:
          mutant[at] = below(256)
          break
        case 2:
          if (mutant.length >= at + 8) mutant.writeBigUInt64LE(edge, at)
          break
        case 3:
          if (mutant.length >= at + 4) mutant.writeUInt32LE(Number(edge & 0xffffffffn), at)
          break
        case 4:
          mutant = mutant.subarray(0, at)
          break
        case 5:
          mutant = Buffer.concat([mutant.subarray(0, at), mutant.subarray(at + 1 + below(16))])
          break
        default:
          mutant = Buffer.concat([mutant.subarray(0, at), Buffer.alloc(1 + below(16), below(256)), mutant.subarray(at)])
      }
    }
    yield mutant
  }
}

/** A file of which only the beginning is there; the rest is zeros. Notes how many bytes each read asks for. */
function recorded(bytes: Uint8Array, byteLength: number, reads: number[]): ByteSource {
  return {
    name: 'huge.gguf',
    byteLength,
    descriptor: { kind: 'file', name: 'huge.gguf', path: '/huge.gguf', byteLength, modifiedMs: 0, inode: 0 },
    async read(into, position) {
      reads.push(into.length)
      into.fill(0)
      into.set(bytes.subarray(position, position + into.length))
    },
  }
}

function u64(value: bigint): string {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes.toString('hex')
}

function u32Hex(value: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes.toString('hex')
}

function bytesOf(...hex: readonly string[]): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.join('').replaceAll(' ', ''), 'hex'))
}

function rawMetadata(count: number, ...hex: readonly string[]): Uint8Array {
  return bytesOf('47475546 03000000', u64(0n), u64(BigInt(count)), ...hex, '00'.repeat(32))
}

interface RawTensor {
  readonly name?: string
  readonly dimensions?: readonly bigint[]
  readonly type?: number
  readonly offset?: bigint
}

function rawTensor(tensor: RawTensor): Uint8Array {
  return rawTensors([tensor])
}

function rawTensors(tensors: readonly RawTensor[]): Uint8Array {
  const infos = tensors.map(({ name = '77', dimensions = [8n], type = 0, offset = 0n }) =>
    [u64(BigInt(name.length / 2)), name, u32Hex(dimensions.length), ...dimensions.map(u64), u32Hex(type), u64(offset)].join(''),
  )
  return bytesOf('47475546 03000000', u64(BigInt(tensors.length)), u64(0n), ...infos, '00'.repeat(512))
}

const KEY = fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }).filter((key) => !key.includes('\0') && key !== 'general.alignment')
const TEXT = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('', '\ufeff', '__proto__', 'a\0b', '\udcff\udc80'),
)
const U64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const I64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const VALUE: fc.Arbitrary<MetadataValue> = fc.oneof(
  ...INTEGER_LIMITS.flatMap(([type, min, max]) => [
    fc.integer({ min, max }).map((value): MetadataValue => ({ type, value })),
    fc.array(fc.integer({ min, max })).map((value): MetadataValue => ({ type: 'array', items: type, value })),
  ]),
  fc.float().map((value): MetadataValue => ({ type: 'f32', value })),
  fc.double().map((value): MetadataValue => ({ type: 'f64', value })),
  fc.float32Array().map((value): MetadataValue => ({ type: 'array', items: 'f32', value })),
  fc.float64Array().map((value): MetadataValue => ({ type: 'array', items: 'f64', value })),
  U64.map((value): MetadataValue => ({ type: 'u64', value })),
  I64.map((value): MetadataValue => ({ type: 'i64', value })),
  fc.array(U64).map((value): MetadataValue => ({ type: 'array', items: 'u64', value })),
  fc.array(I64).map((value): MetadataValue => ({ type: 'array', items: 'i64', value })),
  fc.boolean().map((value): MetadataValue => ({ type: 'bool', value })),
  fc.array(fc.boolean()).map((value): MetadataValue => ({ type: 'array', items: 'bool', value })),
  TEXT.map((value): MetadataValue => ({ type: 'string', value })),
  fc.array(TEXT).map((value): MetadataValue => ({ type: 'array', items: 'string', value })),
)
const KEY_VALUES: fc.Arbitrary<KeyValue[]> = fc.uniqueArray(fc.record({ key: KEY, value: VALUE }), { selector: ({ key }) => key, maxLength: 12 })
const TENSORS: fc.Arbitrary<TensorEntry[]> = fc.uniqueArray(
  fc
    .record({
      name: KEY.filter((name) => Buffer.byteLength(name) <= 63),
      type: fc.constantFrom(...Object.keys(QUANT_TYPES).filter(isQuantType)),
      outer: fc.array(fc.nat(4), { maxLength: 3 }),
      blocks: fc.nat(3),
    })
    .map(({ name, type, outer, blocks }) => tensor(name, [...outer, blocks * QUANT_TYPES[type].blockElements], type)),
  { selector: ({ name }) => name, maxLength: 8 },
)
