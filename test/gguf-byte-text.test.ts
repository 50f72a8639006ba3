import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { decodeKeepingBytes, decodeStrict, textBytes, writeText } from '../src/formats/gguf/byte-text.js'

// bytes that are mostly pieces of UTF-8: leads, continuations, edges of the ranges
const BYTES = fc
  .array(fc.oneof(fc.constantFrom(0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff), fc.nat(255)), {
    maxLength: 60,
  })
  .map((bytes) => Uint8Array.from(bytes))

describe('text that keeps its bytes', () => {
  it('gives back any bytes', () => {
    fc.assert(
      fc.property(BYTES, (bytes) => {
        const text = decodeKeepingBytes(bytes)
        const again = new Uint8Array(bytes.length)
        assert.equal(textBytes(text), bytes.length)
        assert.equal(writeText(text, again, 0), bytes.length)
        assert.deepEqual(again, bytes)
      }),
      { seed: 1, numRuns: 3000 },
    )
  })

  it('writes the bytes of TextEncoder for every well-formed text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const bytes = new TextEncoder().encode(text)
        const ours = new Uint8Array(bytes.length + 5).fill(0xaa)
        assert.equal(textBytes(text), bytes.length)
        assert.equal(writeText(text, ours, 3), bytes.length + 3)
        assert.deepEqual(ours.subarray(3, -2), bytes)
        assert.deepEqual([ours[0], ours[2], ours.at(-2), ours.at(-1)], [0xaa, 0xaa, 0xaa, 0xaa])
      }),
      { seed: 2, numRuns: 2000 },
    )
  })

  it('decodes strictly exactly what a fatal TextDecoder does, keeping a byte order mark', () => {
    fc.assert(
      fc.property(BYTES, (bytes) => assert.equal(decodeStrict(bytes), decodedByPlatform(bytes))),
      { seed: 3, numRuns: 3000 },
    )
    assert.equal(decodeStrict(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), '\ufeffa')
  })

  it('escapes each byte of an overlong form, of an encoded surrogate, and of what lies beyond U+10FFFF', () => {
    for (const bytes of [
      [0xc0, 0x80],
      [0xe0, 0x9f, 0xbf],
      [0xed, 0xb2, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
    ]) {
      assert.equal(decodeKeepingBytes(Uint8Array.from(bytes)), String.fromCharCode(...bytes.map((byte) => 0xdc00 + byte)))
    }
    assert.equal(decodeKeepingBytes(Uint8Array.of(0x61, 0xff, 0xc3, 0xa9, 0xe2, 0x96)), 'a\udcffé\udce2\udc96')
  })

  it('knows no bytes for half of a surrogate pair that stands for none', () => {
    for (const text of ['\ud800', '\udbffa', '\udc00', '\udc7f', '\udd00', '\udfff']) assert.equal(textBytes(text), undefined)
  })
})

function decodedByPlatform(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}
