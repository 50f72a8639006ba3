import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { DTYPES, isDtype, type Dtype } from '../src/core/dtypes.js'
import { InternalError, UnsupportedError } from '../src/core/errors.js'
import { elementCount } from '../src/core/shape.js'
import { readHeader } from '../src/formats/safetensors/header.js'
import { encodeHeader, type TensorPlan } from '../src/formats/safetensors/header-writer.js'
import { compareNames } from '../src/formats/safetensors/name-order.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { inMemory } from './support/safetensors-file.js'

const f32 = (name: string, ...shape: number[]): TensorPlan => ({ name, dtype: 'F32', shape })
const asText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.subarray(8))

describe('the safetensors header writer', () => {
  it("writes the bytes of Python's save_file for one tensor", () => {
    const { bytes, offsets, fileSize } = encodeHeader([f32('a', 2)])
    // safetensors 0.8.0: save_file({"a": torch.zeros(2)}, …), without its 8 bytes of data
    const expected = '38000000000000007b2261223a7b226474797065223a22463332222c227368617065223a5b325d2c22646174615f6f666673657473223a5b302c385d7d7d2020'
    assert.equal(Buffer.from(bytes).toString('hex'), expected)
    assert.deepEqual([...offsets], [['a', 64]])
    assert.equal(fileSize, 72)
  })

  it('writes an empty file as the crate does', () => {
    assert.equal(Buffer.from(encodeHeader([]).bytes).toString('hex'), '08000000000000007b7d202020202020')
  })

  it('orders by dtype, then by the UTF-8 bytes of the name, and escapes as serde_json does', () => {
    const rows: [string, Dtype, number[]][] = [
      ['z', 'F32', [1]],
      ['b', 'BF16', [2]],
      ['é', 'F32', [1]],
      ['\u{10000}', 'F32', [1]],
      ['\uffff', 'F32', [1]],
      ['q"\\\x01\x1f\n\t\x7f', 'U8', [3]],
      ['bool', 'BOOL', [1]],
      ['i64', 'I64', [1]],
      ['f16', 'F16', [1]],
      ['f64', 'F64', [1]],
      ['e', 'F32', [0, 2]],
      ['s', 'F32', []],
      ['u16', 'U16', [1]],
      ['i8', 'I8', [1]],
      ['f8', 'F8_E4M3', [1]],
      ['f8b', 'F8_E5M2', [1]],
      ['u64', 'U64', [1]],
      ['c', 'C64', [1]],
      ['i32', 'I32', [1]],
    ]
    const { bytes, fileSize } = encodeHeader(
      rows.map(([name, dtype, shape]) => ({ name, dtype, shape })),
      new Map([['format', 'pt']]),
    )
    // safetensors 0.8.0, torch 2.15: save_file of these tensors with {"format": "pt"}
    assert.equal(
      asText(bytes),
      '{"__metadata__":{"format":"pt"},"u64":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},"i64":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},' +
        '"f64":{"dtype":"F64","shape":[1],"data_offsets":[16,24]},"c":{"dtype":"C64","shape":[1],"data_offsets":[24,32]},"e":{"dtype":"F32","shape":[0,2],"data_offsets":[32,32]},' +
        '"s":{"dtype":"F32","shape":[],"data_offsets":[32,36]},"z":{"dtype":"F32","shape":[1],"data_offsets":[36,40]},"é":{"dtype":"F32","shape":[1],"data_offsets":[40,44]},' +
        '"\uffff":{"dtype":"F32","shape":[1],"data_offsets":[44,48]},"\u{10000}":{"dtype":"F32","shape":[1],"data_offsets":[48,52]},"i32":{"dtype":"I32","shape":[1],"data_offsets":[52,56]},' +
        '"b":{"dtype":"BF16","shape":[2],"data_offsets":[56,60]},"f16":{"dtype":"F16","shape":[1],"data_offsets":[60,62]},"u16":{"dtype":"U16","shape":[1],"data_offsets":[62,64]},' +
        '"f8":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[64,65]},"f8b":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[65,66]},"i8":{"dtype":"I8","shape":[1],"data_offsets":[66,67]},' +
        '"q\\"\\\\\\u0001\\u001f\\n\\t\x7f":{"dtype":"U8","shape":[3],"data_offsets":[67,70]},"bool":{"dtype":"BOOL","shape":[1],"data_offsets":[70,71]}}       ',
    )
    assert.equal(bytes.byteLength, 8 + 1136)
    assert.equal(fileSize, 1215)
  })

  it('refuses names that a reader would not find again, and names given twice', () => {
    assert.throws(() => encodeHeader([f32('__metadata__', 1)]), UnsupportedError)
    assert.throws(() => encodeHeader([f32('\ud800', 1)]), UnsupportedError)
    assert.throws(() => encodeHeader([f32('a', 1), f32('a', 2)]), InternalError)
    assert.throws(() => encodeHeader([{ name: 'a', dtype: 'F4', shape: [3] }]), InternalError)
  })

  it('writes what the reader reads back, for any names, dtypes and shapes, in one order whatever the order given', async () => {
    const tensor = fc.record({
      name: fc.string({ unit: 'grapheme', maxLength: 12 }).filter((name) => name !== '__metadata__'),
      dtype: fc.constantFrom(
        ...Object.keys(DTYPES)
          .filter(isDtype)
          .filter((dtype) => DTYPES[dtype].bits >= 8),
      ),
      shape: fc.array(fc.nat(5), { maxLength: 4 }),
    })
    const metadata = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }))
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 12 }), metadata, async (tensors, info) => {
        const { bytes, offsets, fileSize } = encodeHeader(tensors, new Map(Object.entries(info)))
        assert.deepEqual(encodeHeader([...tensors].reverse(), new Map(Object.entries(info))).bytes, bytes)
        assert.equal(bytes.byteLength % 8, 0)
        const file = new Uint8Array(fileSize)
        file.set(bytes)
        const read = await readHeader(inMemory(file))
        assert.deepEqual([...read.metadata], Object.entries(info))
        assert.equal(read.tensors.length, tensors.length)
        for (const { name, dtype, shape } of tensors) {
          const found = read.tensors.find((one) => one.name === name)
          assert.deepEqual([found?.dtype, found?.shape, found?.offset], [dtype, shape, offsets.get(name)])
          assert.equal(found?.byteLength, (elementCount(shape) * DTYPES[dtype].bits) / 8)
        }
      }),
    )
  })

  it('compares names as their UTF-8 bytes compare', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        assert.equal(Math.sign(compareNames(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)))
      }),
    )
  })

  it('gives, header for header, the files that save_file made in the golden data', { skip: SKIP_WITHOUT_GOLDEN }, async () => {
    const root = join(GOLDEN ?? '', 'merge')
    let compared = 0
    for (const one of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      if (!/[/\\]base[/\\][^/\\]*\.safetensors$/.test(one)) continue
      const file = readFileSync(join(root, one))
      const { tensors, metadata, dataStart } = await readHeader(inMemory(file, one))
      const { bytes, offsets, fileSize } = encodeHeader([...tensors].reverse(), metadata)
      assert.deepEqual(Buffer.from(bytes), file.subarray(0, dataStart), one)
      assert.equal(fileSize, file.byteLength)
      for (const { name, offset } of tensors) assert.equal(offsets.get(name), offset)
      compared++
    }
    assert.ok(compared > 0, 'no base found')
  })
})
