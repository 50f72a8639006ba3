import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FormatError } from '../src/core/errors.js'
import { parseJsonObject } from '../src/core/json.js'
import { encodeShardIndex, parseShardIndex } from '../src/formats/safetensors/shard-index.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const NAME = 'model.safetensors.index.json'
const parse = (text: string): ReturnType<typeof parseShardIndex> => parseShardIndex(new TextEncoder().encode(text), NAME)
const withFile = (file: string): string => JSON.stringify({ weight_map: { a: file } })

function refuses(text: string, message: RegExp): void {
  assert.throws(
    () => parse(text),
    (error) => error instanceof FormatError && error.message.startsWith(NAME) && message.test(error.message),
    text,
  )
}

describe('the shard index', () => {
  it('gives the map in file order and the files in code-point order, each once', () => {
    const { weightMap, fileNames, totalSize } = parse(
      '\ufeff{"metadata":{"total_size":16.0},"weight_map":{"b":"x-2.safetensors","10":"x-1.safetensors","__proto__":"x-2.safetensors"}}',
    )
    assert.deepEqual(
      [...weightMap],
      [
        ['b', 'x-2.safetensors'],
        ['10', 'x-1.safetensors'],
        ['__proto__', 'x-2.safetensors'],
      ],
    )
    assert.deepEqual(fileNames, ['x-1.safetensors', 'x-2.safetensors'])
    assert.equal(totalSize, 16)
  })

  it('takes subfolders, a "./" prefix and dots inside a name', () => {
    assert.deepEqual(parse(withFile('./shards/./one.safetensors')).fileNames, ['shards/one.safetensors'])
    assert.deepEqual(parse(withFile('model..v2.safetensors')).fileNames, ['model..v2.safetensors'])
    assert.deepEqual(parse(withFile('~a/b~.safetensors'.slice(1))).fileNames, ['a/b~.safetensors'])
  })

  it('refuses names that are not of a file inside the folder', () => {
    const names = [
      '../a.safetensors',
      'x/../a.safetensors',
      'x/..',
      '..',
      '.',
      './',
      '',
      'x/',
      '/a.safetensors',
      '//host/a.safetensors',
      'C:\\a.safetensors',
      'C:/a.safetensors',
      '\\\\host\\a.safetensors',
      'a\\b.safetensors',
      'file:///a.safetensors',
      'https://host/a.safetensors',
      '~/a.safetensors',
      'a\0.safetensors',
      'a\n.safetensors',
      'a//b.safetensors',
      'a.safetensors:stream',
    ]
    for (const name of names) refuses(withFile(name), /tensor "a".*is not the name of a file in the folder/)
  })

  it('takes a part of 255 bytes, refuses 256', () => {
    const name = (bytes: number): string => `${'é'.repeat(60)}${'a'.repeat(bytes - 120 - '.safetensors'.length)}.safetensors`
    assert.equal(parse(withFile(`x/${name(255)}`)).fileNames.length, 1)
    refuses(withFile(`x/${name(256)}`), /longer than 255 bytes/)
  })

  it('refuses values that are no weights file', () => {
    for (const value of ['null', '1', 'true', '["a.safetensors"]', '{}']) refuses(`{"weight_map":{"a":${value}}}`, /tensor "a".*a string is wanted/)
    for (const value of [NAME, 'sub', 'a.bin', 'a.safetensors.txt']) refuses(withFile(value), /ending in .safetensors is wanted/)
  })

  it('refuses a weight_map that is empty, missing or no object, and equal keys', () => {
    refuses('{"weight_map":{}}', /weight_map is empty/)
    for (const value of ['null', '1', '"x"', '["a"]']) refuses(`{"weight_map":${value}}`, /weight_map is/)
    refuses('{"__proto__":{"weight_map":{"a":"a.safetensors"}}}', /weight_map is missing/)
    refuses('{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}', /stands twice/)
    for (const root of ['[]', 'null', '', '<html>']) refuses(root, /JSON|HTML/)
  })

  it('refuses a total_size that is no number of bytes, and takes none', () => {
    const withSize = (size: string): string => `{"metadata":{"total_size":${size}},"weight_map":{"a":"a.safetensors"}}`
    for (const size of ['-1', '0.5']) refuses(withSize(size), /total_size/)
    assert.equal(parse(withSize('"12"')).totalSize, undefined)
    assert.equal(parse('{"metadata":null,"weight_map":{"a":"a.safetensors"}}').totalSize, undefined)
    refuses('{"metadata":[],"weight_map":{"a":"a.safetensors"}}', /metadata is an array/)
  })

  it('writes the text that transformers writes', () => {
    const text = new TextDecoder().decode(
      encodeShardIndex(
        new Map([
          ['b', 'm-2.safetensors'],
          ['\u{10000}é"', 'm-1.safetensors'],
          ['a.10', 'm-1.safetensors'],
          ['a.2', 'm-1.safetensors'],
        ]),
        24,
      ),
    )
    // python: json.dumps({"metadata": {"total_size": 24}, "weight_map": {…}}, indent=2, sort_keys=True) + "\n"
    assert.equal(
      text,
      '{\n  "metadata": {\n    "total_size": 24\n  },\n  "weight_map": {\n    "a.10": "m-1.safetensors",\n    "a.2": "m-1.safetensors",\n    "b": "m-2.safetensors",\n' +
        '    "\\ud800\\udc00\\u00e9\\"": "m-1.safetensors"\n  }\n}\n',
    )
    assert.equal(parse(text).weightMap.get('\u{10000}é"'), 'm-1.safetensors')
  })

  it('gives, byte for byte, the indexes that transformers made in the golden data', { skip: SKIP_WITHOUT_GOLDEN }, () => {
    let compared = 0
    for (const room of ['merge', 'gguf']) {
      const root = join(GOLDEN ?? '', room)
      for (const one of readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith(NAME))) {
        const bytes = readFileSync(join(root, one))
        const metadata = parseJsonObject(bytes, one).get('metadata')
        const parameters = metadata instanceof Map ? metadata.get('total_parameters') : undefined
        const { weightMap, totalSize } = parseShardIndex(bytes, one)
        const written = encodeShardIndex(new Map([...weightMap].reverse()), totalSize ?? 0, typeof parameters === 'number' ? parameters : undefined)
        assert.equal(Buffer.from(written).toString(), bytes.toString(), one)
        compared++
      }
    }
    assert.ok(compared > 0, 'no index found')
  })
})
