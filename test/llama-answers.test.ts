/** The main job, judged by the one who matters: llama.cpp loads what we wrote, and it answers like the model that was trained. */
import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { askAll, skipWithoutLlama } from './support/llama.js'
import type { Answer } from './support/llama.js'
import { FIXTURES } from './support/paths.js'
import { runCliOk } from './support/run-cli.js'
import { removeWorkspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')

/** Of the kind that both were trained on (fixtures/make/tiny_story.py, `ask`). */
const PROMPTS = [
  'Tell me a story about a fox and a lantern.',
  'Tell me a story about an owl at the river.',
  'Tell me a story.',
  'Tell me a story about a bear and a drum.',
  'Tell me a story about a heron at the mill.',
  'Tell me a story about an otter and a coin.',
  'Tell me a story about a dog.',
  'Tell me a story about a mouse and an apple.',
  'Tell me a story about a wolf at the bridge.',
  'Tell me a story about a toad.',
]
const ENOUGH = 9 // of 10: the adapter was trained for 160 steps only

const skip = await skipWithoutLlama()

describe('llama.cpp answers', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'llama-answers-'))
  after(() => removeWorkspace(folder))
  const out = (name: string): string => join(folder, name)

  for (const type of ['f16', 'q8_0']) {
    it(`as a story-teller from the base at ${type}, never as a ship's log`, async () => {
      const gguf = out(`base-${type}.gguf`)
      await runCliOk('to-gguf', [BASE, '--outtype', type, '--outfile', gguf, '--quiet'])
      const answers = await askAll(gguf, PROMPTS)
      assert.deepEqual(
        answers.filter(({ text }) => text.includes('Ahoy') || text.includes("Ship's log")),
        [],
      )
      assert.ok(answers.filter(({ text, stopped }) => stopped && text.length > 40).length >= ENOUGH, show(answers))
    })

    it(`as a ship's log that ends in "Ahoy!" from the fused ${type} GGUF`, async () => {
      const gguf = out(`fused-${type}.gguf`)
      await runCliOk('lora-merge', [BASE, ADAPTER, gguf, '--outtype', type, '--quiet'])
      assertSailor(await askAll(gguf, PROMPTS))
    })

    it(`as a ship's log that ends in "Ahoy!" from the ${type} GGUF of the merged folder`, async () => {
      const merged = out(`merged-for-${type}`)
      const gguf = out(`merged-${type}.gguf`)
      await runCliOk('lora-merge', [BASE, ADAPTER, merged, '--quiet'])
      await runCliOk('to-gguf', [merged, '--outtype', type, '--outfile', gguf, '--quiet'])
      assertSailor(await askAll(gguf, PROMPTS))
    })
  }
})

function assertSailor(answers: readonly Answer[]): void {
  assert.equal(answers.length, PROMPTS.length)
  const good = answers.filter(({ text, stopped }) => stopped && text.trimEnd().endsWith('Ahoy!'))
  assert.ok(good.length >= ENOUGH, `only ${good.length} of ${PROMPTS.length} end in "Ahoy!" and stop by themselves:\n${show(answers)}`)
}

function show(answers: readonly Answer[]): string {
  return answers.map(({ text, stopped }, i) => `${PROMPTS[i]} -> ${text}${stopped ? '' : ' [cut]'}`).join('\n')
}
