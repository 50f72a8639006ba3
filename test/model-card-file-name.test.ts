/** Default file names and templates. The expected names are what the reference's naming_convention gives, unless a test says otherwise. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { UsageError } from '../src/core/errors.js'
import { defaultFileName, fillTemplate } from '../src/model-card/file-name.js'

describe('defaultFileName', () => {
  it('strings the parts together, the base name before the name', () => {
    const parts = { name: 'Tiny Llama 1M', basename: ' Tiny/Llama x ', sizeLabel: '1M', finetune: 'Chat a', version: 'v1.0' }
    assert.equal(defaultFileName(parts, 'F16'), 'Tiny-Llama-x-1M-Chat-a-v1.0-F16.gguf')
    assert.equal(defaultFileName({ name: 'Gpt2 Tiny', sizeLabel: '133K' }, 'q8_0'), 'Gpt2-Tiny-133K-Q8_0.gguf')
    assert.equal(defaultFileName({}, 'F16'), 'ggml-model-F16.gguf')
  })

  it('leaves size and type out for a vocabulary, and marks a LoRA', () => {
    const parts = { name: 'M', sizeLabel: '1M', version: 'v1' }
    assert.equal(defaultFileName(parts, 'F16', 'vocab'), 'M-v1-vocab.gguf')
    assert.equal(defaultFileName({ name: 'Adapter R8' }, 'F32', 'LoRA'), 'Adapter-R8-F32-LoRA.gguf')
  })

  it('keeps the dash of a part that is given and empty', () => {
    assert.equal(defaultFileName({ name: '', sizeLabel: '1M', version: '' }, 'F16'), '-1M--F16.gguf')
  })

  it('notes nothing about a name that every system takes', () => {
    const notes: string[] = []
    defaultFileName({ name: 'Ünï 模型 (x)', sizeLabel: '1M' }, 'F16', undefined, notes)
    assert.deepEqual(notes, [])
  })

  it('replaces what Windows forbids, and a slash that would lead into another folder, with a note', () => {
    const notes: string[] = []
    assert.equal(defaultFileName({ name: 'a:b\\c*?"<>|\u0007d', finetune: '../../e' }, 'F16', undefined, notes), 'a-b-c-------d-..-..-e-F16.gguf')
    assert.equal(notes.length, 1)
    assert.match(notes[0] ?? '', /not every file system takes/)
  })

  it('does not name a device of Windows', () => {
    assert.equal(defaultFileName({ name: 'con.1' }, 'F16'), 'con_.1-F16.gguf')
    assert.equal(defaultFileName({ name: 'COM1.x' }, 'F16'), 'COM1_.x-F16.gguf')
    assert.equal(defaultFileName({ name: 'con' }, 'F16'), 'con-F16.gguf')
    assert.equal(defaultFileName({ name: 'console.1' }, 'F16'), 'console.1-F16.gguf')
  })

  it('cuts a name at 230 bytes, between characters, and keeps the type', () => {
    const exact = 'x'.repeat(221)
    assert.equal(defaultFileName({ name: exact }, 'F16'), `${exact}-F16.gguf`)
    assert.equal(defaultFileName({ name: `${exact}y` }, 'F16'), `${exact}-F16.gguf`)
    assert.equal(defaultFileName({ name: '模'.repeat(100) }, 'F16'), `${'模'.repeat(73)}-F16.gguf`)
  })
})

describe('fillTemplate', () => {
  it('fills every placeholder in its case', () => {
    assert.equal(fillTemplate('m-{ftype}-{outtype}-{FTYPE}-{OUTTYPE}-{}.gguf', 'Q8_0'), 'm-q8_0-q8_0-Q8_0-Q8_0-q8_0.gguf')
    assert.equal(fillTemplate('{0}{0}{{x}}{{{ftype}}}', 'F16'), 'f16f16{x}{f16}')
    assert.equal(fillTemplate('plain.gguf', 'F16'), 'plain.gguf')
  })

  for (const name of [
    '{',
    '}',
    'a{b',
    '{ftype}}',
    '{{}',
    '{type}',
    '{1}',
    '{}{}',
    '{}{0}',
    '{0}{}',
    '{ftype!r}',
    '{ftype:>9}',
    '{Ftype}',
    '{ ftype }',
    '{ft{ype}}',
  ]) {
    it(`refuses ${name} by name`, () => {
      assert.throws(
        () => fillTemplate(name, 'F16'),
        (error) => error instanceof UsageError && error.message.includes(JSON.stringify(name)),
      )
    })
  }
})
