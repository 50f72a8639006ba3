/** What users type: file types, types of tensors, patterns, metadata. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isEncodedType } from '../src/core/arithmetic.js'
import { UnsupportedError, UsageError } from '../src/core/errors.js'
import { string, u32, type KeyValue } from '../src/core/key-value.js'
import { QUANT_TYPES } from '../src/core/quant-types.js'
import {
  ALL_FILE_TYPES,
  converterType,
  fileTypeRow,
  isConverterFileType,
  normalTypeName,
  parseFileType,
  UNSUPPORTED_FILE_TYPES,
} from '../src/quantize/file-types.js'
import { MIXTURES } from '../src/quantize/mixtures.js'
import { parseKeyValueOverride, quantizedKeyValues, withKeyValues } from '../src/quantize/policy-key-values.js'
import { compileOverrides, parseTensorType, parseTypeOverride, parseTypeOverrides } from '../src/quantize/type-overrides.js'
import { HANG_MS } from './support/hang.js'

describe('a file type', () => {
  it('is read in any case and spelling', () => {
    for (const [typed, fileType] of [
      ['Q4_K_M', 'q4_k_m'],
      ['q4_k', 'q4_k_m'],
      ['Q5_K', 'q5_k_m'],
      ['q3_K', 'q3_k_m'],
      ['MXFP4_MOE', 'mxfp4'],
      ['mxfp4', 'mxfp4'],
      ['FP16', 'f16'],
      ['IQ4_XS', 'iq4_xs'],
    ] as const)
      assert.equal(parseFileType('--outtype', typed), fileType)
  })

  it('that llama.cpp has and we have not is named with the nearest', () => {
    assert.throws(
      () => parseFileType('--outtype', 'iq2_xs'),
      (error) => error instanceof UnsupportedError && /--outtype IQ2_XS: .*nearest.*q2_k\.$/.test(error.message),
    )
    for (const name of Object.keys(UNSUPPORTED_FILE_TYPES)) assert.throws(() => parseFileType('--outtype', name), UnsupportedError)
  })

  it('that nobody has is refused with the list', () => {
    for (const typed of ['q4', 'constructor', '__proto__', '', 'q4_k_xl']) assert.throws(() => parseFileType('--outtype', typed), UsageError)
  })

  it('has an id and a name of its own, and a mixture where it quantizes', () => {
    const names = [...Object.keys(ALL_FILE_TYPES), ...Object.keys(UNSUPPORTED_FILE_TYPES)] as (
      | keyof typeof ALL_FILE_TYPES
      | keyof typeof UNSUPPORTED_FILE_TYPES
    )[]
    const rows = names.map(fileTypeRow)
    assert.equal(new Set(rows.map(({ id }) => id)).size, names.length)
    for (const name of names) {
      assert.equal(normalTypeName(fileTypeRow(name).name), name)
      if (name !== 'nvfp4') assert.equal(MIXTURES[name] !== undefined, QUANT_TYPES[fileTypeRow(name).type].blockElements > 1, name)
    }
  })

  it('never mixes in a type that cannot be written', () => {
    for (const name of Object.keys(ALL_FILE_TYPES) as (keyof typeof ALL_FILE_TYPES)[]) {
      for (const [type] of Object.values(MIXTURES[name] ?? {}).flat()) assert.ok(isEncodedType(type), `${name}: ${type}`)
    }
  })
})

describe("the converter's own rule", () => {
  it('holds for six types', () => {
    const own = (Object.keys(ALL_FILE_TYPES) as (keyof typeof ALL_FILE_TYPES)[]).filter(isConverterFileType)
    assert.deepEqual(own.sort(), ['bf16', 'f16', 'f32', 'q8_0', 'tq1_0', 'tq2_0'])
  })

  it('keeps embeddings and head of ternary files f16', () => {
    const of = (name: string, cols = 256) => converterType('tq1_0', false, cols, name)
    assert.deepEqual(
      ['token_embd.weight', 'output.weight', 'blk.3.laurel_l.weight'].map((name) => of(name)),
      ['f16', 'f16', 'f16'],
    )
    assert.deepEqual([of('blk.3.attn_q.weight'), of('blk.3.attn_q.weight', 288), of('blk.3.attn_output.weight')], ['tq1_0', 'f16', 'tq1_0'])
    assert.deepEqual(
      [converterType('q8_0', false, 32, 'output.weight'), converterType('q8_0', true, 32, 'x'), converterType('bf16', false, 33, 'x')],
      ['q8_0', 'f32', 'bf16'],
    )
  })
})

describe('a type for some tensors', () => {
  it('is a pattern in lower case and a type', () => {
    assert.deepEqual(parseTypeOverride('--tensor-type', 'Blk\\.1\\.FFN_(up|gate)=Q5_K'), { pattern: 'blk\\.1\\.ffn_(up|gate)', type: 'q5_k' })
  })

  it('is searched anywhere in the name', () => {
    const [override] = compileOverrides([{ pattern: 'blk\\.(1[0-9]|2)\\..*v', type: 'q8_0' }])
    assert.deepEqual(
      ['blk.2.attn_v.weight', 'blk.13.attn_v.weight', 'blk.1.attn_v.weight', 'x.blk.2.attn_v'].map((name) => override?.search(name)),
      [true, true, false, true],
    )
  })

  it('needs both halves', () => {
    for (const typed of ['attn_v', '=q8_0', 'attn_v=', '']) assert.throws(() => parseTypeOverride('--tensor-type', typed), /takes PATTERN=TYPE/)
  })

  it('must be a type that can be written', () => {
    assert.throws(() => parseTypeOverride('--tensor-type', 'a=iq3_s'), UnsupportedError)
    assert.throws(() => parseTensorType('--output-tensor-type', 'i32'), UnsupportedError)
    assert.throws(() => parseTensorType('--output-tensor-type', 'q4_k_m'), /not "q4_k_m" \(q4_k_m is a mixture of a whole file; its matrices are q4_k\)/)
    assert.throws(() => parseTensorType('--output-tensor-type', 'toString'), UsageError)
    assert.equal(parseTensorType('--output-tensor-type', 'BF16'), 'bf16')
  })

  it('names what its pattern must not use', () => {
    for (const [pattern, what] of [
      ['(?=a)b', '(?='],
      ['(?p<n>a)', '(?p'],
      ['(a)\\1', 'backreferences'],
      ['[[:digit:]]', 'class by name'],
      ['a[]b', 'empty class'],
      ['a[^]b', 'empty class'],
      ['\\za', 'escape \\z'],
      ['a{,3}', '{'],
      ['a{', '{'],
      ['(a', 'group does not end'],
      ['a**', 'multiple repeat'],
    ] as const) {
      assert.throws(
        () => compileOverrides([{ pattern, type: 'q8_0' }]),
        (error) => error instanceof UsageError && error.message.includes(what),
        pattern,
      )
    }
    for (const pattern of ['[{]', 'a{2}', 'a{2,}', 'a{2,3}?', '(?:a|b)+?', '\\[\\{\\(', '[^a-c\\d]', '^blk\\.\\d+$', 'a\\\\'])
      parseTypeOverride('--tensor-type', `${pattern}=q8_0`)
  })

  it('never hangs on a pattern made to', () => {
    const started = performance.now()
    const [bomb] = compileOverrides([{ pattern: '(a+)+$', type: 'q8_0' }])
    assert.equal(bomb?.search(`${'a'.repeat(60)}b`), false)
    assert.throws(() => parseTypeOverride('--tensor-type', `${'['.repeat(60_000)}=q8_0`), UsageError)
    assert.ok(performance.now() - started < HANG_MS)
  })

  it('may come from a file, separated by white space', () => {
    assert.deepEqual(parseTypeOverrides('\ufeffattn_v=q8_0\r\n\tffn_down=q6_k  output=f16\n', 't.txt'), [
      { pattern: 'attn_v', type: 'q8_0' },
      { pattern: 'ffn_down', type: 'q6_k' },
      { pattern: 'output', type: 'f16' },
    ])
    assert.throws(() => parseTypeOverrides('attn_v = q8_0', 't.txt'), /--tensor-type-file t.txt takes PATTERN=TYPE/)
    assert.deepEqual(parseTypeOverrides(' \n', 't.txt'), [])
  })
})

describe('metadata of the user', () => {
  const parse = (typed: string): KeyValue => parseKeyValueOverride('--override-kv', typed)

  it('is a key, a type and a value', () => {
    assert.deepEqual(parse('a.b=int:4096'), { key: 'a.b', value: { type: 'u32', value: 4096 } })
    assert.deepEqual(parse('a=float:0.1'), { key: 'a', value: { type: 'f32', value: Math.fround(0.1) } })
    assert.deepEqual(parse('a=float:-1e3').value.value, -1000)
    assert.deepEqual(parse('a=bool:false'), { key: 'a', value: { type: 'bool', value: false } })
    assert.deepEqual(parse('a=str:x=y:z\n'), { key: 'a', value: { type: 'string', value: 'x=y:z\n' } })
    assert.deepEqual(parse('a=str:').value.value, '')
  })

  it('is refused where it is malformed, or its type cannot hold it', () => {
    for (const typed of [
      'a',
      'a=1',
      '=int:1',
      'a=uint:1',
      'a=int:',
      'a=int:1.5',
      'a=int:-1',
      'a=int:4294967296',
      'a=float:x',
      'a=float:1e99',
      'a=float:',
      'a=bool:1',
      'a=str:\ud800',
    ]) {
      assert.throws(() => parse(typed), UsageError, typed)
    }
    assert.equal(parse(`a=str:${'é'.repeat(63)}x`).value.type, 'string')
    assert.throws(() => parse(`a=str:${'é'.repeat(64)}`), /at most 127 bytes/)
    assert.throws(() => parse(`${'k'.repeat(128)}=int:1`), UsageError)
    for (const key of ['general.alignment', 'split.count']) assert.throws(() => parse(`${key}=int:64`), /how the file is laid out/)
  })
})

describe('metadata of a quantized file', () => {
  const keys = (keyValues: readonly KeyValue[]): string[] => keyValues.map(({ key }) => key)
  const source: KeyValue[] = [
    'general.file_type',
    'general.architecture',
    'split.no',
    'split.count',
    'split.tensors.count',
    'general.quantization_version',
    'x.block_count',
    'general.name',
  ].map((key) => ({ key, value: u32(1) }))

  it('loses what told of parts, and has version and file type at the end', () => {
    const edited = quantizedKeyValues(source, { fileTypeId: 15 })
    assert.deepEqual(keys(edited), ['general.architecture', 'x.block_count', 'general.name', 'general.quantization_version', 'general.file_type'])
    assert.deepEqual(
      edited.slice(-2).map(({ value }) => value),
      [u32(2), u32(15)],
    )
    assert.equal(source.length, 8)
  })

  it('has the user’s keys after them, then those of the importance matrix, then the number of layers', () => {
    const edited = quantizedKeyValues(source, {
      fileTypeId: 15,
      overrides: [
        { key: 'general.name', value: string('n') },
        { key: 'general.file_type', value: u32(3) },
      ],
      importance: { file: 'i.gguf', datasets: ['t.txt', 'u.txt'], entryCount: 9, chunkCount: 2 },
      pruned: { architecture: 'x', layers: 7 },
    })
    assert.deepEqual(keys(edited), [
      'general.architecture',
      'general.quantization_version',
      'general.name',
      'general.file_type',
      'quantize.imatrix.file',
      'quantize.imatrix.dataset',
      'quantize.imatrix.entries_count',
      'quantize.imatrix.chunks_count',
      'x.block_count',
    ])
    assert.deepEqual(
      edited.slice(4).map(({ value }) => value.value),
      ['i.gguf', 't.txt', 9, 2, 7],
    )
  })

  it('tells of the importance matrix what is known, and nothing of an empty one', () => {
    const facts = { file: 'i', datasets: [], entryCount: 1, chunkCount: 0 }
    assert.deepEqual(keys(quantizedKeyValues([], { fileTypeId: 2, importance: facts })).slice(2), ['quantize.imatrix.file', 'quantize.imatrix.entries_count'])
    assert.deepEqual(keys(quantizedKeyValues([], { fileTypeId: 2, importance: { ...facts, entryCount: 0 } })).length, 2)
  })

  it('cuts long names at 127 bytes, through a character too', () => {
    const name = (file: string): unknown =>
      quantizedKeyValues([], { fileTypeId: 2, importance: { file, datasets: [], entryCount: 1, chunkCount: 0 } })[2]?.value.value
    assert.equal(name('a'.repeat(127)), 'a'.repeat(127))
    assert.equal(name('a'.repeat(128)), 'a'.repeat(127))
    assert.equal(name(`${'a'.repeat(125)}é!`), `${'a'.repeat(125)}é`)
    // é is c3 a9: the first byte stands as a lone surrogate, which the header writer turns back into the byte
    assert.equal(name(`${'a'.repeat(126)}é`), `${'a'.repeat(126)}\udcc3`)
  })

  it('keeps the value that was set last', () => {
    const twice = withKeyValues(
      [{ key: 'a', value: u32(1) }],
      [
        { key: 'b', value: u32(2) },
        { key: 'a', value: u32(3) },
        { key: 'b', value: u32(4) },
      ],
    )
    assert.deepEqual(twice, [
      { key: 'a', value: u32(3) },
      { key: 'b', value: u32(4) },
    ])
  })
})
