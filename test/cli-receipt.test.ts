/** The receipt as a user finds it: where it lies, what it says, and what it must not say. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import { readGguf } from './support/gguf-file.js'
import { FIXTURES, PROJECT } from './support/paths.js'
import { runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')

interface Receipt {
  readonly tool: { name: string; version: string; reference: Record<string, string> }
  readonly base: string
  readonly adapters: readonly { label: string; weight: number }[]
  readonly inputs: readonly { name: string; bytes: number }[]
  readonly options: Record<string, unknown>
  readonly outputs: readonly { name: string; bytes: number; sha256?: string }[]
  readonly tensors: readonly {
    name: string
    type: string
    bytes: number
    digest: string
    deltaRatio?: number
    adapters?: readonly { adapter: number; scale: number; rank: number }[]
  }[]
}

const read = (path: string): Receipt => JSON.parse(readFileSync(path, 'utf8')) as Receipt

describe('the place of the receipt', () => {
  it('is beside a file, in a folder, where --receipt says, or nowhere', async (t) => {
    const home = workspace(t)
    mkdirSync(join(home, 'logs'))
    await runCliOk('lora-merge', [BASE, ADAPTER, 'a.gguf', '--quiet'], { cwd: home })
    await runCliOk('lora-merge', [BASE, ADAPTER, 'b.safetensors', '--quiet'], { cwd: home })
    await runCliOk('lora-merge', [BASE, ADAPTER, 'c', '--quiet'], { cwd: home })
    await runCliOk('lora-merge', [BASE, ADAPTER, 'd.gguf', '--quiet', '--receipt', 'logs/d.json'], { cwd: home })
    await runCliOk('lora-merge', [BASE, ADAPTER, 'e', '--quiet', '--receipt', join(home, 'logs', 'e.json')], { cwd: home })
    await runCliOk('to-gguf', [BASE, '-o', 'f.gguf', '--quiet', '--no-receipt'], { cwd: home })
    await runCliOk('lora-merge', [BASE, ADAPTER, 'g', '--quiet', '--no_receipt'], { cwd: home })
    assert.equal(read(join(home, 'a.gguf.receipt.json')).outputs[0]?.name, 'a.gguf')
    assert.equal(read(join(home, 'b.safetensors.receipt.json')).outputs[0]?.name, 'b.safetensors')
    assert.equal(read(join(home, 'c', 'lora-to-gguf.receipt.json')).outputs.length, 2)
    assert.equal(read(join(home, 'logs', 'd.json')).outputs[0]?.name, 'd.gguf')
    assert.equal(read(join(home, 'logs', 'e.json')).outputs.length, 2)
    const receipts = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json') && name.includes('receipt'))
    assert.deepEqual(receipts.sort(), ['a.gguf.receipt.json', 'b.safetensors.receipt.json', join('c', 'lora-to-gguf.receipt.json')].sort())
    assert.deepEqual(readdirSync(join(home, 'logs')).sort(), ['d.json', 'e.json'])
    assert.ok(existsSync(join(home, 'g', 'config.json')))
  })
})

describe('what a receipt says', () => {
  it('is the same bytes for the same run, wherever, with any number of threads', async (t) => {
    const [one, two] = [workspace(t, 'one'), join(workspace(t, 'two'), 'déeper in')]
    mkdirSync(two)
    cpSync(BASE, join(two, 'tiny-story'), { recursive: true })
    cpSync(ADAPTER, join(two, 'ship-log-lora'), { recursive: true })
    for (const out of ['x.gguf', 'folder']) {
      await runCliOk('lora-merge', [BASE, ADAPTER, out, '--quiet', '-t', '1'], { cwd: one })
      await runCliOk('lora-merge', ['tiny-story', './ship-log-lora/', join(two, out), '--quiet', '-t', '3'], { cwd: two })
      const name = out === 'folder' ? join('folder', 'lora-to-gguf.receipt.json') : 'x.gguf.receipt.json'
      const [first, second] = [readFileSync(join(one, name), 'utf8'), readFileSync(join(two, name), 'utf8')]
      assert.equal(first, second)
      const user = userInfo()
      const secrets = [basename(one), PROJECT, two, 'déeper', user.homedir, hostname(), new Date().getFullYear().toString() + '-']
      for (const secret of secrets) assert.ok(!first.includes(secret), `${secret} stands in the receipt`)
      assert.doesNotMatch(first, /"(?:\/|[A-Za-z]:\\\\|\\\\\\\\)/, 'no absolute path')
      assert.ok(user.username.length < 5 || !first.includes(user.username))
    }
  })

  it('names inputs, options, versions, and what was done to each tensor', async (t) => {
    const home = workspace(t)
    await runCliOk('lora-merge', [BASE, `${ADAPTER}@0.5`, 'x.gguf', '--outtype', 'q8_0', '--model-name', 'Named', '--quiet'], { cwd: home })
    const receipt = read(join(home, 'x.gguf.receipt.json'))
    const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string }
    assert.equal(receipt.tool.version, version)
    assert.match(receipt.tool.reference['llama.cpp'] ?? '', /0c1e570/)
    assert.equal(receipt.base, 'tiny-story')
    assert.deepEqual(
      receipt.adapters.map(({ label, weight }) => [label, weight]),
      [['ship-log-lora', 0.5]],
    )
    assert.equal(receipt.options['outtype'], 'q8_0')
    assert.equal(receipt.options['modelName'], 'Named')
    const sizes = new Map(receipt.inputs.map(({ name, bytes }) => [name, bytes]))
    for (const name of ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'])
      assert.equal(sizes.get(name), readFileSync(join(BASE, name)).byteLength)
    assert.equal(sizes.get('adapter_model.safetensors'), readFileSync(join(ADAPTER, 'adapter_model.safetensors')).byteLength)
    assert.equal(receipt.tensors.length, 38)
    const written = await readGguf(join(home, 'x.gguf'))
    for (const { name, digest, adapters, deltaRatio } of receipt.tensors) {
      assert.equal(digest, `crc32:${crc32(written.tensor(name).bytes).toString(16).padStart(8, '0')}`, name)
      const merged = /attn_[qkvo]|ffn_(?:down|gate|up)/.test(name) && !name.includes('norm')
      assert.deepEqual(
        adapters?.map(({ scale, rank }) => [scale, rank]),
        merged ? [[1, 8]] : undefined,
        name,
      )
      assert.equal(deltaRatio !== undefined && deltaRatio > 0, merged, name)
    }
  })

  it('names the files of --metadata and --tokenizer without their folders', async (t) => {
    const home = workspace(t)
    mkdirSync(join(home, 'deep'))
    cpSync(BASE, join(home, 'deep', 'other-tokenizer'), { recursive: true })
    writeFileSync(join(home, 'deep', 'meta.json'), '{"general.author": "me"}')
    await runCliOk('to-gguf', [BASE, '-o', 'x.gguf', '--quiet', '--metadata', join('deep', 'meta.json'), '--tokenizer', 'deep/other-tokenizer'], { cwd: home })
    const { options } = read(join(home, 'x.gguf.receipt.json'))
    assert.deepEqual([options['metadata'], options['tokenizer']], ['meta.json', 'other-tokenizer'])
  })

  it('has the sha256 of each file with --hash, and none without', async (t) => {
    const home = workspace(t)
    await runCliOk('lora-merge', [BASE, ADAPTER, 'out', '--hash', '--quiet'], { cwd: home })
    const { outputs } = read(join(home, 'out', 'lora-to-gguf.receipt.json'))
    assert.equal(outputs.length, 2)
    for (const { name, sha256 } of outputs)
      assert.equal(
        sha256,
        createHash('sha256')
          .update(readFileSync(join(home, 'out', name)))
          .digest('hex'),
      )
    await runCliOk('lora-merge', [BASE, ADAPTER, 'plain', '--quiet'], { cwd: home })
    for (const { sha256 } of read(join(home, 'plain', 'lora-to-gguf.receipt.json')).outputs) assert.equal(sha256, undefined)
  })
})
