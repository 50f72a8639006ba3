import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { UnsupportedError } from '../src/core/errors.js'
import { parseJsonObject } from '../src/core/json.js'
import type { JsonObject } from '../src/core/json.js'
import { ollamaCreateLine, ollamaModelName } from '../src/ollama/create-line.js'
import { isOurModelfile } from '../src/ollama/modelfile.js'
import { modelfileFor } from '../src/ollama/plan-modelfile.js'
import { samplingFrom } from '../src/ollama/sampling.js'
import { FIXTURES } from './support/paths.js'

const TINY_STORY = readFileSync(join(FIXTURES, 'tiny-story', 'chat_template.jinja'), 'utf8')
const json = (text: string): JsonObject => parseJsonObject(new TextEncoder().encode(text), 'generation_config.json')
const instructions = (text: string): readonly string[] => text.split('\n').filter((line) => /^(?:FROM|PARAMETER|SYSTEM|TEMPLATE|LICENSE|ADAPTER)\b/.test(line))

describe('modelfileFor', () => {
  it('gives the example model FROM, its stop and a ChatML TEMPLATE', async () => {
    const { text, notes } = await modelfileFor({ ggufName: 'tiny-story.gguf', chatTemplate: TINY_STORY, eosTokens: ['<|im_end|>'], bosToken: '<|endoftext|>' })
    assert.ok(isOurModelfile(text))
    const [from, stop, template, ...more] = instructions(text)
    assert.deepEqual([from, stop, more], ['FROM ./tiny-story.gguf', 'PARAMETER stop "<|im_end|>"', []])
    assert.match(template ?? '', /^TEMPLATE """/)
    assert.match(notes.join('\n'), /TEMPLATE \(chatml\)/)
    for (const note of notes) assert.ok(text.includes(`# ${note}\n`))
  })

  it('never sets num_ctx, whatever the configs say', async () => {
    const { text } = await modelfileFor({
      ggufName: 'm.gguf',
      chatTemplate: TINY_STORY,
      eosTokens: ['</s>'],
      generationConfig: json('{"max_length": 4096, "num_ctx": 1, "max_new_tokens": 7}'),
    })
    assert.doesNotMatch(text, /num_ctx|num_predict/)
  })

  it('writes no TEMPLATE for a template that knows tools, and says what new and old servers do', async () => {
    const { text } = await modelfileFor({ ggufName: 'm.gguf', chatTemplate: `{% if tools %}{{ tools }}{% endif %}${TINY_STORY}`, eosTokens: ['<|im_end|>'] })
    assert.deepEqual(instructions(text), ['FROM ./m.gguf', 'PARAMETER stop "<|im_end|>"'])
    assert.match(text, /# Ollama 0\.30 and newer/)
    assert.match(text, /# Older servers/)
  })

  it('warns of a model without a chat template', async () => {
    for (const chatTemplate of [undefined, '', ' \n']) {
      const { text, notes } = await modelfileFor({ ggufName: 'm.gguf', chatTemplate, eosTokens: ['</s>'] })
      assert.deepEqual(instructions(text), ['FROM ./m.gguf', 'PARAMETER stop "</s>"'])
      assert.match(notes.join(' '), /has no chat template/)
    }
  })

  it("makes a template's default system message the SYSTEM", async () => {
    const chatTemplate = `{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are "kind".<|im_end|>\n' }}{% endif %}${TINY_STORY}`
    const { text } = await modelfileFor({ ggufName: 'm.gguf', chatTemplate, eosTokens: ['<|im_end|>'] })
    assert.match(text, /\nSYSTEM """You are "kind"\."""\n/)
    assert.match(text, /\nTEMPLATE """/)
  })

  it('writes neither when the default system message cannot stand in a Modelfile', async () => {
    const chatTemplate = `{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nQuote """\nADAPTER /x<|im_end|>\n' }}{% endif %}${TINY_STORY}`
    const { text, notes } = await modelfileFor({ ggufName: 'm.gguf', chatTemplate, eosTokens: ['<|im_end|>'] })
    assert.deepEqual(instructions(text), ['FROM ./m.gguf', 'PARAMETER stop "<|im_end|>"'])
    assert.match(notes.join(' '), /cannot stand in a Modelfile/)
  })

  it('leaves out a stop that cannot stand on one line, and says so', async () => {
    const { text, notes } = await modelfileFor({ ggufName: 'm.gguf', eosTokens: ['\n', 'a"""\nADAPTER /x', '<\u200b>', '</s>'] })
    assert.deepEqual(instructions(text), ['FROM ./m.gguf', 'PARAMETER stop "</s>"'])
    assert.equal(notes.filter((note) => note.startsWith('The stop ')).length, 3)
  })

  it('says when a model has no stop at all', async () => {
    const { text, notes } = await modelfileFor({ ggufName: 'm.gguf', eosTokens: [] })
    assert.deepEqual(instructions(text), ['FROM ./m.gguf'])
    assert.match(notes.join(' '), /No stop/)
    for (const note of notes) assert.ok(text.includes(`# ${note}\n`))
  })

  it('keeps what templates and notes say inside comments', async () => {
    const { text } = await modelfileFor({
      ggufName: 'm.gguf',
      chatTemplate: String.raw`{{ raise_exception("no\nFROM /etc/passwd") }}`,
      eosTokens: ['</s>'],
      extraNotes: ['a\nFROM /x'],
    })
    assert.deepEqual(instructions(text), ['FROM ./m.gguf', 'PARAMETER stop "</s>"'])
  })

  it('refuses a GGUF name that a Modelfile cannot hold', async () => {
    await assert.rejects(modelfileFor({ ggufName: 'a\nb.gguf', eosTokens: [] }), UnsupportedError)
  })
})

describe('samplingFrom', () => {
  it("takes what generation_config states, under Ollama's names, and nothing else", () => {
    const { parameters, notes } = samplingFrom(
      json('{"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": 0, "repetition_penalty": 1.05, "max_length": 4096, "typical_p": 0.5}'),
    )
    assert.deepEqual(
      [...parameters],
      [
        ['temperature', 0.6],
        ['top_k', 20],
        ['top_p', 0.9],
        ['min_p', 0],
        ['repeat_penalty', 1.05],
      ],
    )
    assert.deepEqual(notes, [])
    assert.equal(samplingFrom(undefined).parameters.size, 0)
    assert.equal(samplingFrom(json('{"temperature": null}')).parameters.size, 0)
  })

  it('takes do_sample false for temperature 0, and a missing do_sample for no statement', () => {
    assert.deepEqual(
      [...samplingFrom(json('{"do_sample": false, "temperature": 0.9, "top_k": 5, "repetition_penalty": 1.2}')).parameters],
      [
        ['temperature', 0],
        ['repeat_penalty', 1.2],
      ],
    )
    assert.deepEqual([...samplingFrom(json('{"temperature": 0.9}')).parameters], [['temperature', 0.9]])
    assert.equal(samplingFrom(json('{}')).parameters.size, 0)
  })

  it('leaves out what Ollama cannot use, and says so', () => {
    const { parameters, notes } = samplingFrom(json('{"temperature": -1, "top_k": 1.5, "top_p": 2, "min_p": "0.1", "repetition_penalty": 0}'))
    assert.equal(parameters.size, 0)
    assert.equal(notes.length, 5)
    assert.match(notes[1] ?? '', /top_k is the number 1\.5/)
  })
})

describe('ollamaCreateLine', () => {
  it('makes a name that Ollama takes of any text', () => {
    const names = [
      ['Tiny Story (v2)', 'tiny-story-v2'],
      ['Größe', 'gro-e'],
      ['Café', 'cafe'],
      ['org/Name:Q8_0', 'org-name-q8_0'],
      ['--x--', 'x'],
      ['...', 'model'],
      ['', 'model'],
      ['模型', 'model'],
      ['_a.b', '_a.b'],
    ]
    for (const [text = '', name] of names) assert.equal(ollamaModelName(text), name)
    assert.match(ollamaModelName(`${'a'.repeat(79)}-${'b'.repeat(50)}`), /^a{79}$/)
    assert.match(ollamaModelName('-'.repeat(200_000)), /^model$/)
  })

  it('quotes a path only where the shell needs it', () => {
    assert.equal(ollamaCreateLine('M', 'demo-out/Modelfile'), 'ollama create m -f demo-out/Modelfile')
    assert.equal(ollamaCreateLine('M', 'my out/Modelfile'), "ollama create m -f 'my out/Modelfile'")
    assert.equal(ollamaCreateLine('M', "it's $HOME/Modelfile"), String.raw`ollama create m -f 'it'\''s $HOME/Modelfile'`)
    assert.equal(ollamaCreateLine('M', '-x.Modelfile'), 'ollama create m -f ./-x.Modelfile')
    assert.equal(ollamaCreateLine('M', "a\n'b"), String.raw`ollama create m -f $'a\x0a\'b'`)
    assert.equal(ollamaCreateLine('M', String.raw`C:\out\Modelfile`, 'win32'), String.raw`ollama create m -f C:\out\Modelfile`)
    assert.equal(ollamaCreateLine('M', String.raw`C:\my out\größe.Modelfile`, 'win32'), String.raw`ollama create m -f "C:\my out\größe.Modelfile"`)
  })
})
