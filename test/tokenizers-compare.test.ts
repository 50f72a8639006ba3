import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { compareTokenizers } from '../src/tokenizers/compare.js'
import { isTokenizerFile } from '../src/tokenizers/tokenizer-files.js'
import { memoryFolder } from './support/memory-folder.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const added = (id: number, content: string) => ({ id, content, special: true, normalized: false })
const tokenizer = (...tokens: unknown[]) => JSON.stringify({ added_tokens: tokens, model: { type: 'BPE', vocab: { a: 0, b: 1, '<e>': 2 }, merges: [] } })
const config = (more = {}) => JSON.stringify({ eos_token: '<e>', chat_template: 'T', ...more })
const BASE = memoryFolder({ 'tokenizer.json': tokenizer(added(2, '<e>')), 'tokenizer_config.json': config() })

async function compared(files: Record<string, string>, base = BASE) {
  return compareTokenizers(base, memoryFolder(files))
}

describe('the tokenizer beside an adapter', () => {
  it('differs by an added token, whose ids are counted', async () => {
    const result = await compared({ 'tokenizer.json': tokenizer(added(2, '<e>'), added(3, '<new>')), 'tokenizer_config.json': config() })
    assert.deepEqual(result, { differs: true, reasons: ['it adds the token "<new>" (id 3)'], adapterTokenCount: 4 })
  })

  it("differs by lacking one of the base's added tokens", async () => {
    const base = memoryFolder({ 'tokenizer.json': tokenizer(added(3, '<new>')) })
    assert.match((await compared({ 'tokenizer.json': tokenizer() }, base)).reasons.join(), /lacks the token "<new>"/)
  })

  it('differs by a special token', async () => {
    const result = await compared({ 'tokenizer_config.json': config({ pad_token: { content: 'a' } }) })
    assert.deepEqual(result, { differs: true, reasons: ['its pad token is "a", the base\'s none'], adapterTokenCount: undefined })
  })

  it('differs by its chat template, wherever that lies', async () => {
    assert.equal((await compared({ 'chat_template.jinja': 'other' })).differs, true)
    assert.equal((await compared({ 'chat_template.jinja': 'T' })).differs, false)
    assert.equal((await compared({ 'tokenizer_config.json': JSON.stringify({ eos_token: '<e>' }), 'chat_template.jinja': 'T' })).differs, false)
  })

  it('does not differ by what it does not speak of, nor by how it is written', async () => {
    assert.equal((await compared({ 'README.md': 'x' })).differs, false)
    const rewritten = {
      'tokenizer.json': tokenizer(),
      'tokenizer_config.json': JSON.stringify({ backend: 'tokenizers', eos_token: { content: '<e>' }, unk_token: null }),
      'chat_template.jinja': 'T',
    }
    assert.equal((await compared(rewritten)).differs, false)
  })

  it("equals the base's when it is the same SentencePiece model", { skip: SKIP_WITHOUT_GOLDEN }, async () => {
    const path = join(GOLDEN ?? '', 'gguf', 'llama', 'Tiny-Llama-1M-Chat-v1.0')
    const folder = memoryFolder(
      Object.fromEntries(
        readdirSync(path)
          .filter(isTokenizerFile)
          .map((name) => [name, readFileSync(join(path, name))]),
      ),
    )
    assert.deepEqual(await compareTokenizers(folder, folder), { differs: false, reasons: [], adapterTokenCount: 400 })
  })
})

describe('the files of a tokenizer', () => {
  it('are told by name, additional templates among them', () => {
    assert.deepEqual(
      ['tokenizer.json', 'additional_chat_templates/rag.jinja', 'config.json', 'additional_chat_templates/x.txt', 'model.safetensors'].map(isTokenizerFile),
      [true, true, false, false, false],
    )
  })
})
