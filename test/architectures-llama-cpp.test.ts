/** Every supported class of fixtures/architectures, judged by the one who matters: llama.cpp loads what we wrote and evaluates tokens with finite outputs. */
import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { supportedArchitectures } from '../src/architectures/registry.js'
import { execute, planGguf } from '../src/index.js'
import { ARCHITECTURE_GAPS } from './support/architecture-gaps.js'
import { architectureFixtures, writeArchitectureModel, type ArchitectureFixture } from './support/architecture-fixtures.js'
import { skipWithoutLlama } from './support/llama.js'
import { withVocabulary } from './support/minimal-vocabulary.js'
import { probeAll, type Probe } from './support/probe-llama.js'
import { removeWorkspace } from './support/workspace.js'

/** GGUF architectures, or single cases, that llama.cpp v0.5.0 as node-llama-cpp 3.22.1 calls it does not run, and what it says. */
const NOT_RUN: ReadonlyMap<string, RegExp> = new Map([
  ['chameleon', /GGML_ASSERT/], // "only half-implemented", says its own test
  ['cogvlm', /missing tensor 'blk\.0\.vis_attn_qkv\.weight'/], // the converter drops the vision experts with all that has vision_ in its name
  ['CohereForCausalLM-qknorm', /wrong number of tensors/], // it knows norms of queries and keys from 64 layers on
  ['DeepseekV2ForCausalLM-lite', /q_lora_rank/], // known as Lite by 26 or 27 layers only
  ['Gemma3nForCausalLM', /missing tensor 'blk\.20\.attn_k\.weight'/], // wants keys of layers that share them, which transformers 5 leaves out
  ['glm5-next', /unknown model architecture/],
  ['t5', /llama_encode must be called first/], // node-llama-cpp only decodes
  ['deepseek4', /GGML_ASSERT/], // why is not known: a reshape in its graph refuses these sizes
  ['dots3note', /GGML_ASSERT/], // why is not known: a product in its graph refuses these sizes
  ['dflash', /ctx_other|wrong number of tensors/], // drafts want a target's context
  ['eagle3', /not finite|wrong number of tensors/],
  ['gemma4-assistant', /ctx_other/],
  ['qwen3tts', /not finite/], // it fills the logits of text with -inf
  ['wavtokenizer-dec', /out_of_range/], // why is not known: thrown while it loads or evaluates
])

/** GGUF architectures that llama.cpp is not asked about. */
const NOT_ASKED: ReadonlyMap<string, string> = new Map([['plamo2', 'node-llama-cpp never comes back']])

/** GGUF architectures that llama.cpp runs in a process of their own only: after other models it reads memory that it has not set. */
const ALONE: ReadonlySet<string> = new Set(['rwkv7', 'arwkv7'])

const supported = new Set(supportedArchitectures())
const fixtures = architectureFixtures().filter(
  (fixture) => supported.has(fixture.class) && fixture.fails === undefined && !fixture.restated && !ARCHITECTURE_GAPS.has(fixture.case),
)
const skip = await skipWithoutLlama()

describe('llama.cpp runs', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'llama-architectures-'))
  after(() => removeWorkspace(folder))
  const gguf = (fixture: ArchitectureFixture): string => join(folder, `${fixture.case}.gguf`)
  const refused = new Map<string, unknown>()
  let probes: ReadonlyMap<string, Probe> = new Map()

  before(async () => {
    for (const fixture of fixtures) {
      try {
        const model = writeArchitectureModel(folder, fixture)
        const plain = join(model, 'plain.gguf')
        await execute(await planGguf({ model, outfile: plain, noVocab: true, modelfile: false }), { threads: 1 })
        await withVocabulary(plain, gguf(fixture))
      } catch (error) {
        refused.set(fixture.case, error) // its own test says so
      }
    }
    const asked = fixtures.filter((fixture) => !refused.has(fixture.case) && !NOT_ASKED.has(fixture.expected?.gguf ?? ''))
    const isAlone = ({ expected }: ArchitectureFixture): boolean => ALONE.has(expected?.gguf ?? '')
    const groups = [asked.filter((fixture) => !isAlone(fixture)), ...asked.filter(isAlone).map((fixture) => [fixture])]
    for (const group of groups) probes = new Map([...probes, ...(await probeAll(group.map(gguf)))])
  })

  for (const fixture of fixtures) {
    const wanted = NOT_RUN.get(fixture.case) ?? NOT_RUN.get(fixture.expected?.gguf ?? '')
    it(`${fixture.case} (${fixture.expected?.gguf})${wanted === undefined ? '' : ', or says why not'}`, (t) => {
      assert.equal(refused.get(fixture.case), undefined)
      const why = NOT_ASKED.get(fixture.expected?.gguf ?? '')
      if (why !== undefined) return t.skip(why)
      const probe = probes.get(gguf(fixture))
      if (wanted === undefined) assert.deepEqual(probe, { ok: true, outputs: probe?.ok === true ? probe.outputs : 0 })
      else assert.match(probe?.ok === false ? probe.why : 'it runs: take it from the list', wanted)
    })
  }
})
