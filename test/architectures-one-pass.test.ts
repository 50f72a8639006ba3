/**
 * An adapter on every linear layer of an architecture goes into a GGUF in one pass, with the bytes of the way through a merged f32 folder: for every case of
 * fixtures/architectures in .ci/run, which sets EXHAUSTIVE; for some of them in a quick run.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { supportedArchitectures } from '../src/architectures/registry.js'
import { architectureFixtures, writeArchitectureModel } from './support/architecture-fixtures.js'
import { ARCHITECTURE_GAPS } from './support/architecture-gaps.js'
import { assertOnePass, ggufOf, linearsOf, refusalOf } from './support/one-pass.js'
import { someOf } from './support/quick.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const PLAIN = { outtype: 'f32', noVocab: true, modelName: 'Any' } as const

const supported = new Set(supportedArchitectures())
const fixtures = architectureFixtures().filter((fixture) => supported.has(fixture.class) && fixture.expected !== undefined && !fixture.restated)

describe('a seeded adapter on every linear layer in a GGUF equals merging to f32 and converting', () => {
  for (const fixture of someOf(fixtures, 6))
    it(`for ${fixture.case}`, async (t) => {
      const root = workspace(t, 'one-pass')
      const base = writeArchitectureModel(root, fixture)
      const modules = await linearsOf(base)
      assert.ok(Object.keys(modules).length > 0)
      const adapter = writeAdapter(join(root, 'adapter'), { modules, rank: 3, alpha: 7, seed: 5 })
      const plain = ggufOf(base, [], join(root, 'plain.gguf'), PLAIN)
      if (ARCHITECTURE_GAPS.has(fixture.case)) {
        const refused = await refusalOf(plain)
        const fused = ggufOf(base, [{ path: adapter }], join(root, 'refused.gguf'), PLAIN)
        if (refused !== undefined) return assert.equal((await refusalOf(fused))?.message, refused.message)
      }
      const { bytes } = await assertOnePass(root, base, [{ path: adapter }], PLAIN)
      assert.equal(bytes.equals(await plain), false, 'the adapter changes something')
    })
})
