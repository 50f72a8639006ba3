/** The documents say what is so: commands print what README shows, links lead somewhere, names of the library exist. */
import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import * as library from '../src/index.js'
import { FIXTURES, PROJECT } from './support/paths.js'
import { runCli, type Command } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const README = readFileSync(join(PROJECT, 'README.md'), 'utf8')
const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'THIRD_PARTY_NOTICES.md', ...readdirSync(join(PROJECT, 'docs')).map((name) => `docs/${name}`)]

/** `$ command` and the lines below it, for every console block. */
function consoleBlocks(text: string): { command: string; output: string }[] {
  return [...text.matchAll(/```console\n\$ (.+)\n([\s\S]*?)```/g)].map(([, command = '', output = '']) => ({ command, output }))
}

/** Seconds and memory differ from run to run. */
function withoutMeasures(text: string): string {
  return text.replace(/[\d.]+ s, peak memory [\d.]+ MB/g, 'T s, peak memory M MB')
}

describe('README', () => {
  const blocks = consoleBlocks(README)
  it('shows both commands with their output', () =>
    assert.deepEqual(
      blocks.map(({ command }) => command.split(' ')[0]),
      ['lora-merge', 'to-gguf'],
    ))

  for (const { command, output } of blocks) {
    it(`shows what "${command.slice(0, 40)}…" prints`, async (t) => {
      const cwd = workspace(t)
      for (const name of ['tiny-story', 'ship-log-lora']) cpSync(join(FIXTURES, name), join(cwd, 'fixtures', name), { recursive: true })
      const [name, ...args] = command.split(' ')
      const run = await runCli(name as Command, args, { cwd })
      assert.equal(run.code, 0, run.stderr)
      assert.equal(withoutMeasures(run.stdout), withoutMeasures(output))
    })
  }

  it('imports names from the library that it has', () => {
    const [, names = ''] = /import \{ (.+) \} from 'lora-to-gguf'/.exec(README) ?? []
    for (const name of names.split(', ')) assert.ok(name in library, name)
  })
})

describe('links', () => {
  for (const document of DOCUMENTS) {
    it(`of ${document} lead to files of the project`, () => {
      const text = readFileSync(join(PROJECT, document), 'utf8')
      for (const [, target = ''] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
        assert.ok(existsSync(join(PROJECT, dirname(document), target)), `${document}: ${target}`)
    })
  }
})
