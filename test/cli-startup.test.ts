/** What a command loads before it has anything to do: a shell that asks for --help does not wait for tokenizers. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { FIXTURES, PROJECT } from './support/paths.js'
import { runCliOk, type Command } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const ADAPTER = join(FIXTURES, 'ship-log-lora')
const BASE = join(FIXTURES, 'tiny-story')

/** Runs a command that must succeed and gives every module that it loaded, as URLs. */
async function modulesLoaded(t: TestContext, command: Command, args: readonly string[]): Promise<readonly string[]> {
  const home = workspace(t)
  const log = join(home, 'modules.txt')
  writeFileSync(log, '')
  // a loader hook that notes each URL; it runs on a thread of its own, which sees no variables of ours
  writeFileSync(
    join(home, 'hook.mjs'),
    `import { appendFileSync } from 'node:fs'
export async function load(url, context, next) {
  appendFileSync(${JSON.stringify(log)}, url + '\\n')
  return next(url, context)
}`,
  )
  const register = `data:text/javascript,${encodeURIComponent(`import { register } from 'node:module'; register(${JSON.stringify(pathToFileURL(join(home, 'hook.mjs')).href)})`)}`
  await runCliOk(command, args, { cwd: home, env: { NODE_OPTIONS: `--import ${JSON.stringify(register)}` } })
  const urls = readFileSync(log, 'utf8').trim().split('\n')
  assert.ok(
    urls.some((url) => url.endsWith(`/bin/${command}.js`)),
    'the hook sees modules',
  )
  return urls
}

/** Names of the packages among some modules. */
function packagesOf(urls: readonly string[]): readonly string[] {
  return [...new Set(urls.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []))].sort()
}

const ownModules = (urls: readonly string[]): number => urls.filter((url) => url.startsWith(pathToFileURL(join(PROJECT, 'dist')).href)).length

describe('what is loaded', () => {
  for (const [command, args] of [
    ['lora-merge', ['--help']],
    ['to-gguf', ['--help']],
    ['lora-to-gguf', ['--help']],
    ['lora-to-gguf', ['--version']],
  ] as const) {
    it(`${command} ${args.join(' ')} loads commander, no other package, and few modules`, async (t) => {
      const urls = await modulesLoaded(t, command, args)
      assert.deepEqual(packagesOf(urls), ['commander'])
      assert.ok(ownModules(urls) <= 30, `${ownModules(urls)} modules of our own`)
    })
  }

  it('inspect loads no tokenizer, template or YAML package', async (t) => {
    assert.deepEqual(packagesOf(await modulesLoaded(t, 'lora-to-gguf', ['inspect', ADAPTER])), ['commander'])
  })

  it('no command loads ora where no terminal is', async (t) => {
    const packages = packagesOf(await modulesLoaded(t, 'lora-merge', [BASE, ADAPTER, 'x.gguf']))
    assert.ok(!packages.includes('ora'), packages.join(', '))
    assert.ok(packages.includes('@huggingface/tokenizers'), 'and a GGUF does need a tokenizer')
  })
})
