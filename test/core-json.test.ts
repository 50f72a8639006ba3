import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { FormatError } from '../src/core/errors.js'
import { isArray, isObject, kindOf, parseJson, parseJsonObject, type Json, type JsonOptions } from '../src/core/json.js'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const parse = (text: string, options: JsonOptions = {}): Json => parseJson(utf8(text), 'x.json', options)

/** What JSON.parse would have given. */
function plain(value: Json): unknown {
  if (isObject(value)) return Object.fromEntries([...value].map(([key, one]) => [key, plain(one)]))
  if (isArray(value)) return value.map(plain)
  return typeof value === 'bigint' ? Number(value) : value
}

function refuses(text: string | Uint8Array, message: RegExp, options: JsonOptions = {}): void {
  const bytes = typeof text === 'string' ? utf8(text) : text
  assert.throws(
    () => parseJson(bytes, 'x.json', options),
    (error) => error instanceof FormatError && error.message.startsWith('x.json') && message.test(error.message),
  )
}

describe('strict JSON', () => {
  it('reads every value that JSON.parse reads, and gives the same', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary', maxDepth: 6 }), fc.constantFrom(undefined, 2, '\t'), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent)
        assert.deepEqual(plain(parse(text)), JSON.parse(text))
      }),
      { numRuns: 500 },
    )
  })

  it('judges damaged texts as JSON.parse does, except by its own stricter rules', () => {
    const stricter = /stands twice|half of a surrogate pair|is too large|nested deeper/
    const damage = fc.record({
      at: fc.nat(),
      cut: fc.nat(3),
      put: fc.constantFrom('', '"', '\\', '{', '}', '[', ']', ',', ':', '0', '-', '.', 'e', 'u', ' ', '\n', '\u00a0', 'null', '\ud800', '\\ud800', '\u0001'),
    })
    fc.assert(
      fc.property(fc.jsonValue(), fc.array(damage, { minLength: 1, maxLength: 4 }), (value, damages) => {
        let text = JSON.stringify(value)
        for (const { at, cut, put } of damages) {
          const from = at % (text.length + 1)
          text = text.slice(0, from) + put + text.slice(from + cut)
        }
        text = text.toWellFormed() // as UTF-8 would have it
        let theirs: unknown
        let refused = false
        try {
          theirs = JSON.parse(text)
        } catch {
          refused = true
        }
        try {
          const ours = parse(text, { byteOrderMark: false })
          assert.equal(refused, false, `accepted ${JSON.stringify(text)}`)
          assert.deepEqual(plain(ours), theirs)
        } catch (error) {
          assert.ok(error instanceof FormatError, String(error))
          assert.ok(refused || stricter.test(error.message), `refused ${JSON.stringify(text)}: ${error.message}`)
        }
      }),
      { numRuns: 3000 },
    )
  })

  it('never throws anything but a FormatError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          parseJson(bytes, 'x.json')
        } catch (error) {
          assert.ok(error instanceof FormatError, String(error))
        }
      }),
    )
  })

  it('keeps the order of keys, integer-like ones too, and takes __proto__ as a key like any other', () => {
    const object = parseJsonObject(utf8('{"b":1,"10":2,"2":3,"__proto__":{"x":4},"constructor":5}'), 'x.json')
    assert.deepEqual([...object.keys()], ['b', '10', '2', '__proto__', 'constructor'])
    assert.equal(({} as Record<string, unknown>)['x'], undefined)
  })

  it('refuses equal keys in one object, however they are spelled, and takes them in two', () => {
    refuses('{"a":1,"a":1}', /at byte 7: the key "a" stands twice/)
    refuses('{"a":1,"\\u0061":1}', /the key "a" stands twice/)
    refuses('{"x":{"a":1,"b":2,"a":3}}', /at byte 18: the key "a"/)
    assert.deepEqual(plain(parse('[{"a":1},{"a":2}]')), [{ a: 1 }, { a: 2 }])
  })

  it('takes 2^53-1 as a number, larger integers as bigint, and refuses what is no finite number', () => {
    assert.deepEqual(parse('[9007199254740991,9007199254740992,-9007199254740993]'), [9007199254740991, 9007199254740992n, -9007199254740993n])
    assert.deepEqual(parse('[1E-05,64.0,1e21,-0]'), [1e-5, 64, 1e21, -0])
    refuses('1e400', /1e400 is too large/)
    refuses('9'.repeat(400), /too large/)
    for (const text of ['NaN', 'Infinity', '-Infinity', '01', '1.', '.5', '+1', '0x10', '1e', '-', '--1', '1_000']) refuses(text, /at byte/)
  })

  it('gives numbers that are not plain digits as NaN where that is asked', () => {
    assert.deepEqual(parse('[0,12,1.0,1e0,-0,-1,1e400,9007199254740993]', { plainIntegersOnly: true }), [0, 12, NaN, NaN, NaN, NaN, NaN, 9007199254740993n])
  })

  it('takes Infinity where that is asked, as Python writes it, and nothing else that is no number', () => {
    assert.deepEqual(parse('[0.0, Infinity]', { infinity: true }), [0, Infinity])
    for (const text of ['NaN', '-Infinity', 'Infinit', 'infinity']) refuses(text, /at byte/, { infinity: true })
  })

  it('takes 128 levels, refuses 129, and 200,000 without a stack overflow', () => {
    const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
    assert.ok(isArray(parse(nested(128))))
    refuses(nested(129), /at byte 129: nested deeper than 128/)
    refuses(nested(200_000), /nested deeper/)
    refuses('{"a":'.repeat(200_000), /nested deeper/)
    assert.ok(isArray(parse(`[${`${nested(127)},`.repeat(3)}0]`)))
  })

  it('refuses half of a surrogate pair, as an escape', () => {
    for (const text of ['"\\ud800"', '"\\udc00\\ud800"', '"\\ud83dx"']) refuses(text, /half of a surrogate pair/)
    assert.equal(parse('"\\ud83d\\ude00"'), '😀')
  })

  it('refuses control characters, unknown escapes, and strings without an end', () => {
    refuses('"a\nb"', /at byte 2: a control character/)
    refuses('"a\u0000b"', /control character/)
    assert.equal(parse('"a\u007fb"'), 'a\u007fb')
    for (const text of ['"\\x41"', '"\\u12g4"', '"\\u123"', '"\\', '"\\u']) refuses(text, /unknown escape|does not end/)
    refuses('["abc', /at byte 1: the string does not end/)
  })

  it('takes a byte order mark where that is allowed, and counts it in offsets', () => {
    assert.deepEqual(parse('\ufeff[1]'), [1])
    refuses('\ufeff[1', /at byte 5:/)
    refuses('\ufeff[1]', /at byte 0: a JSON value wanted/, { byteOrderMark: false })
    refuses('\ufeff\ufeff[1]', /at byte 3/)
  })

  it('counts offsets in bytes of the file', () => {
    assert.throws(() => parseJson(utf8('["é😀",]'), 'x.json', {}, 100), /x.json at byte 110: a JSON value wanted/)
  })

  it('names what is not JSON at all', () => {
    refuses('', /is empty: JSON wanted/)
    refuses(' \n\t', /is empty/)
    refuses('\n<!DOCTYPE html>', /is an HTML page, not JSON/)
    refuses('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 700\n', /Git LFS pointer \(real size 700 bytes\).*git lfs pull/)
    refuses(Uint8Array.from([0xff, 0xfe, 0x7b, 0]), /is UTF-16; save it as UTF-8/)
    refuses(Uint8Array.from([0x22, 0xff, 0x22]), /not valid UTF-8/)
    refuses('{} {}', /more text after the end/)
  })

  it('shows untrusted text escaped in messages, on one line', () => {
    for (const nasty of ['\u001b[31m', '\u009b31m', '\u202e', '\u007f', '\u2028']) {
      assert.throws(
        () => parse(`{"a${nasty}":1,"a${nasty}":2}`.replace(/[\u0000-\u001f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)),
        (error) => error instanceof FormatError && /stands twice/.test(error.message) && !/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/.test(error.message),
      )
      assert.throws(
        () => parse(`[${nasty}]`),
        (error) => error instanceof FormatError && !/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/.test(error.message),
      )
    }
  })

  it('says what a value is', () => {
    assert.deepEqual([undefined, null, [], new Map(), 'a', true, 4].map(kindOf), [
      'missing',
      'null',
      'an array',
      'an object',
      'a string',
      'true',
      'the number 4',
    ])
    assert.throws(() => parseJsonObject(utf8('[1]'), 'x.json'), /holds an array where a JSON object is wanted/)
  })
})
