/** The hostile adapter folders: what `inspect` of such a folder must say, and what only a base can tell. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { openAdapterFile } from '../src/adapters/formats.js'
import { resolveTargets } from '../src/adapters/resolve.js'
import { ToolkitError } from '../src/core/errors.js'
import { openFolder } from '../src/sources/files.js'
import { baseOf } from './support/adapters.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

interface HostileCase {
  readonly path: string
  readonly kind?: string
  readonly main: string
  readonly expect: 'accept' | 'reject'
  readonly must: 'hard' | 'policy'
  readonly reason: string
  readonly hint?: string
  readonly expected_scale?: number
}

/** Policy cases where this project decides otherwise than the corpus, with the reason. */
const OUR_POLICY: ReadonlyMap<string, string> = new Map([
  ['adapter-base-path-traversal', 'base_model_name_or_path is only ever shown, never opened; "../models/x" is what a local training run writes'],
  ['adapter-bias-all', 'a base without biases leaves none to be trained; one that has some is asked for them when adapter and base are bound'],
  ['adapter-t-inf-f16', 'factors are widened to f32 before they are multiplied, where 60000 * 60000 is finite; the engine checks the result'],
])

const BASE = baseOf({ 'model.layers.0.self_attn.q_proj.weight': [4, 4] })

function cases(): HostileCase[] {
  if (GOLDEN === undefined) return []
  const { files } = JSON.parse(readFileSync(join(GOLDEN, 'hostile/manifest.json'), 'utf8')) as { files: HostileCase[] }
  return files.filter(({ kind }) => kind === 'adapter')
}

const nameOf = ({ path }: HostileCase): string => path.split('/').at(-1) ?? path

describe('hostile adapters', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const open = async ({ main }: HostileCase): Promise<Awaited<ReturnType<typeof openAdapterFile>>> =>
    openAdapterFile(await openFolder(dirname(join(GOLDEN ?? '', 'hostile', main))))

  it('are all looked at', () => assert.ok(cases().length >= 40))

  for (const entry of cases().filter((each) => each.expect === 'reject' && !OUR_POLICY.has(nameOf(each)))) {
    it(`refuses ${nameOf(entry)}: ${entry.reason}`, async () => {
      await assert.rejects(
        async () => resolveTargets(await open(entry), BASE),
        (error: unknown) => {
          assert.ok(error instanceof ToolkitError, String(error))
          assert.ok([3, 4, 6].includes(error.exitCode), error.message)
          assert.ok(error.message.length <= 600 && /^[\x20-\x7e…·]*$/.test(error.message), error.message)
          assert.ok(error.message.includes(entry.hint ?? 'adapter'), error.message)
          return true
        },
      )
    })
  }

  it('refuses without a base whatever needs none', async () => {
    const needBase: string[] = []
    for (const entry of cases().filter((each) => each.expect === 'reject' && !OUR_POLICY.has(nameOf(each)))) {
      await open(entry).then(
        () => needBase.push(nameOf(entry)),
        () => undefined,
      )
    }
    assert.deepEqual(needBase, ['adapter-t-unknown-target'])
  })

  for (const entry of cases().filter((each) => each.expect === 'accept' || OUR_POLICY.has(nameOf(each)))) {
    it(`accepts ${nameOf(entry)}: ${OUR_POLICY.get(nameOf(entry)) ?? entry.reason}`, async () => {
      const file = await open(entry)
      assert.equal(file.modules[0]?.scale, entry.expected_scale ?? 2)
      assert.deepEqual(file.facts['scales'], [entry.expected_scale ?? 2])
      assert.equal(resolveTargets(file, BASE).deltas[0]?.target, 'model.layers.0.self_attn.q_proj.weight')
    })
  }

  it('stands by its policies only where the corpus leaves them open', () => {
    for (const entry of cases().filter((each) => OUR_POLICY.has(nameOf(each)))) assert.equal(entry.must, 'policy')
  })
})
