/** The Modelfile beside a GGUF: whose it is decides whether it may be written over. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FIXTURES } from './support/paths.js'
import { runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const FOREIGN = 'FROM llama3\nSYSTEM mine\n'

async function convert(home: string, outfile: string, ...more: string[]): Promise<string> {
  return (await runCliOk('to-gguf', [BASE, '-o', outfile, '--outtype', 'q8_0', '--no-receipt', ...more], { cwd: home })).stdout
}

const modelfiles = (home: string): string[] =>
  readdirSync(home)
    .filter((name) => name.endsWith('Modelfile'))
    .sort()

const text = (home: string, name = 'Modelfile'): string => readFileSync(join(home, name), 'utf8')

describe('the Modelfile', () => {
  it('lies beside the GGUF, names it, and the line to type next points at it', async (t) => {
    const home = workspace(t)
    mkdirSync(join(home, 'my models'))
    const stdout = await convert(home, join('my models', 'tiny story.gguf'))
    assert.match(text(join(home, 'my models')), /^FROM "\.\/tiny story\.gguf"$/m)
    assert.match(text(join(home, 'my models')), /^PARAMETER stop "<\|im_end\|>"$/m)
    assert.doesNotMatch(text(join(home, 'my models')), /num_ctx/)
    const line = /^next: (ollama create .*)$/m.exec(stdout)?.[1] ?? ''
    if (process.platform !== 'win32') {
      // a shell takes it apart into the words that ollama is to get
      const words = execFileSync('sh', ['-c', `ollama() { for word in "$@"; do printf '%s\\n' "$word"; done; }\n${line}`], { cwd: home, encoding: 'utf8' })
        .trimEnd()
        .split('\n')
      assert.deepEqual(words, ['create', 'tiny-story', '-f', join('my models', 'Modelfile')])
      assert.ok(text(home, words[3]).includes('FROM'))
    }
  })

  it('is ours to replace as long as nobody changed it', async (t) => {
    const home = workspace(t)
    await convert(home, 'x.gguf')
    const first = text(home)
    await convert(home, 'x.gguf', '--force')
    assert.deepEqual(modelfiles(home), ['Modelfile'])
    assert.equal(text(home), first)
  })

  it('that was edited is kept, even with --force: <stem>.Modelfile is written', async (t) => {
    const home = workspace(t)
    await convert(home, 'x.gguf')
    const edited = `${text(home)}PARAMETER num_ctx 8192\n`
    writeFileSync(join(home, 'Modelfile'), edited)
    const stdout = await convert(home, 'x.gguf', '--force')
    assert.equal(text(home), edited)
    assert.match(text(home, 'x.Modelfile'), /^FROM \.\/x\.gguf$/m)
    assert.match(stdout, /^next: ollama create x -f x\.Modelfile$/m)
  })

  it('of another tool is kept, and a second run replaces only our own', async (t) => {
    const home = workspace(t)
    writeFileSync(join(home, 'Modelfile'), FOREIGN)
    await convert(home, 'x.gguf')
    await convert(home, 'x.gguf', '--force')
    assert.equal(text(home), FOREIGN)
    assert.deepEqual(modelfiles(home), ['Modelfile', 'x.Modelfile'])
  })

  it('is not written where both names belong to others, which is said', async (t) => {
    const home = workspace(t)
    for (const name of ['Modelfile', 'x.Modelfile']) writeFileSync(join(home, name), FOREIGN)
    const stdout = await convert(home, 'x.gguf', '--force')
    assert.deepEqual([text(home), text(home, 'x.Modelfile')], [FOREIGN, FOREIGN])
    assert.match(stdout, /no Modelfile is written: Modelfile and x\.Modelfile are there already/)
    assert.doesNotMatch(stdout, /ollama create/)
    assert.ok(readdirSync(home).includes('x.gguf'))
  })

  it('is not written over a folder of that name', async (t) => {
    const home = workspace(t)
    mkdirSync(join(home, 'Modelfile'))
    await convert(home, 'x.gguf')
    assert.deepEqual(modelfiles(home), ['Modelfile', 'x.Modelfile'])
  })

  it('gets a name of its own for a second type in one folder', async (t) => {
    const home = workspace(t)
    await convert(home, 'x-q8_0.gguf')
    const first = text(home)
    const { stdout } = await runCliOk('to-gguf', [BASE, '-o', 'x-f16.gguf', '--outtype', 'f16', '--no-receipt'], { cwd: home })
    assert.deepEqual(modelfiles(home), ['Modelfile', 'x-f16.Modelfile'])
    assert.equal(text(home), first)
    assert.match(text(home, 'x-f16.Modelfile'), /^FROM \.\/x-f16\.gguf$/m)
    assert.match(stdout, /-f x-f16\.Modelfile$/m)
  })

  it('is left out with --no-modelfile, and then no line to type is printed', async (t) => {
    const home = workspace(t)
    const stdout = await convert(home, 'x.gguf', '--no-modelfile')
    assert.deepEqual(readdirSync(home), ['x.gguf'])
    assert.doesNotMatch(stdout, /ollama/)
  })

  it('of a folder of models is told from the next by the stem: blanks and quotes in names', { skip: process.platform === 'win32' }, async (t) => {
    const home = workspace(t)
    writeFileSync(join(home, 'Modelfile'), FOREIGN)
    const stdout = await convert(home, `it's "b".gguf`)
    assert.deepEqual(modelfiles(home), ['Modelfile', `it's "b".Modelfile`])
    const line = /^next: (ollama create .*)$/m.exec(stdout)?.[1] ?? ''
    const words = execFileSync('sh', ['-c', `ollama() { for word in "$@"; do printf '%s\\n' "$word"; done; }\n${line}`], { encoding: 'utf8' })
      .trimEnd()
      .split('\n')
    assert.equal(words[3], `it's "b".Modelfile`)
  })
})
