/** `lora-to-gguf inspect`: text and JSON of models, adapters and GGUFs, and what it refuses. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { describeInspection } from '../src/cli/inspect.js'
import type { Inspection } from '../src/inspect/inspection.js'
import { hostileCases, restoredFolder } from './support/hostile.js'
import { FIXTURES, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { runCli, runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')

describe('inspect as text', () => {
  it('shows an adapter’s facts, and the effective scale of each module', async () => {
    const { stdout, stderr } = await runCliOk('lora-to-gguf', ['inspect', ADAPTER])
    assert.equal(stderr, '')
    assert.match(stdout, /: adapter, 56 tensors, 524 kB\n/)
    for (const fact of ['peftType: LORA', 'baseModel: tiny-story', 'rank: 8', 'alpha: 16', 'rankStabilized: false'])
      assert.ok(stdout.includes(`\nadapter ${fact}\n`), fact)
    assert.match(stdout, /^adapter targetModules: down_proj, gate_proj, /m)
    assert.match(stdout, /^module model\.layers\.0\.self_attn\.k_proj {2}128 x 256, rank 8, alpha 16, scale 2, dtype F32$/m)
    assert.equal(stdout.match(/^module /gm)?.length, 28)
    assert.equal(stdout.match(/^tensor /gm)?.length, 56)
  })

  it('shows the scale that rsLoRA, rank_pattern and alpha_pattern give', async (t) => {
    const home = workspace(t)
    cpSync(ADAPTER, join(home, 'a'), { recursive: true })
    const config = JSON.parse(readFileSync(join(home, 'a', 'adapter_config.json'), 'utf8')) as object
    writeFileSync(join(home, 'a', 'adapter_config.json'), JSON.stringify({ ...config, use_rslora: true, alpha_pattern: { 'layers.2.mlp.up_proj': 4 } }))
    const { stdout } = await runCliOk('lora-to-gguf', ['inspect', join(home, 'a')])
    assert.match(stdout, /^module model\.layers\.1\.mlp\.up_proj {2}512 x 256, rank 8, alpha 16, scale 5\.656854, dtype F32$/m) // 16 / √8
    assert.match(stdout, /^module model\.layers\.2\.mlp\.up_proj {2}512 x 256, rank 8, alpha 4, scale 1\.414214, dtype F32$/m)
  })

  it('shows files, config, metadata and tensors of a model; which shard metadata is from', async () => {
    const { stdout } = await runCliOk('lora-to-gguf', ['inspect', BASE])
    assert.match(stdout, /: model, 38 tensors, 5\.05 MB\n/)
    assert.match(stdout, /^file model-00001-of-00002\.safetensors {2}2956120 bytes {2}safetensors$/m)
    assert.match(stdout, /^config architectures: LlamaForCausalLM$/m)
    assert.match(stdout, /^metadata model-00001-of-00002\.safetensors: format \(string\): pt$/m)
    assert.match(stdout, /^tensor model\.embed_tokens\.weight {2}BF16 \[645, 256\]$/m)
  })

  it('shows a GGUF with cut lists, and hashes with --hash', async (t) => {
    const home = workspace(t)
    await runCliOk('to-gguf', [BASE, '-o', 'x.gguf', '--outtype', 'q8_0', '--quiet'], { cwd: home })
    const { stdout } = await runCliOk('lora-to-gguf', ['inspect', 'x.gguf', '--hash'], { cwd: home })
    assert.match(stdout, /^metadata general\.architecture \(string\): llama$/m)
    assert.match(stdout, /^metadata tokenizer\.ggml\.tokens \(string\[\], 645 items\): .*, …$/m)
    assert.match(stdout, /^tensor output_norm\.weight {2}F32 \[256\] {2}[0-9a-f]{64}$/m)
    const json = await runCliOk('lora-to-gguf', ['inspect', 'x.gguf', '--hash', '--json'], { cwd: home })
    const { tensors } = JSON.parse(json.stdout) as Inspection
    const file = readFileSync(join(home, 'x.gguf'))
    for (const { name, offset, byteLength, sha256 } of tensors.slice(0, 5)) {
      assert.equal(
        sha256,
        createHash('sha256')
          .update(file.subarray(offset, offset + byteLength))
          .digest('hex'),
        name,
      )
    }
  })

  it('lets no name reach the terminal raw, and no value fill it', () => {
    const evil = 'a\u001b]0;title\u0007\n\u202eb'
    const text = describeInspection({
      kind: 'weights',
      label: evil,
      files: [{ name: evil, byteLength: 1, format: 'safetensors' }],
      tensors: [{ name: evil, dtype: 'F32', shape: [1], file: evil, offset: 0, byteLength: 4, sha256: undefined }],
      metadata: [
        { file: evil, key: evil, type: 'string', value: evil },
        { file: evil, key: 'long', type: 'string', value: 'x'.repeat(100_000) },
      ],
      config: undefined,
      adapter: { base: evil, modules: [{ module: evil, scale: 1 }] },
      notes: [evil],
    })
    // oxlint-disable-next-line no-control-regex -- none may be there
    assert.doesNotMatch(text.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
    assert.equal(text.trimEnd().split('\n').length, 8)
    assert.ok(text.length < 2000)
  })
})

describe('inspect --json', () => {
  it('is one document, with the adapter’s scales', async () => {
    const { stdout, stderr } = await runCliOk('lora-to-gguf', ['inspect', '--json', ADAPTER])
    assert.equal(stderr, '')
    assert.equal(stdout.trimEnd().split('\n').length, 1)
    const { kind, adapter } = JSON.parse(stdout) as { kind: string; adapter: { modules: { module: string; scale: number }[] } }
    assert.equal(kind, 'adapter')
    assert.equal(adapter.modules.length, 28)
    assert.ok(adapter.modules.every(({ scale }) => scale === 2))
  })
})

describe('hostile folders through the command', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const NAMES = [
    'reject/index-dotdot',
    'reject/index-symlink-dev',
    'reject/index-dup-key',
    'reject/index-proto',
    'reject/index-long-name',
    'reject/adapter-deep-nesting',
    'reject/adapter-rank-pattern-redos',
    'reject/adapter-alpha-1e400',
    'reject/adapter-t-missing-b',
    'reject/config-utf16',
    'reject/config-layers-1e9',
    'reject/config-arch-proto',
    'accept/index-hf-cache-layout',
    'accept/index-tensor-proto',
    'accept/adapter-rank-pattern',
    'accept/config-plain',
  ].map((name) => `json/${name}`)
  for (const one of hostileCases(({ path }) => NAMES.includes(path))) {
    it(`${one.expect}s ${one.path}: ${one.reason}`, async (t) => {
      const { path, remove } = restoredFolder(one)
      t.after(remove)
      const { code, stdout, stderr } = await runCli('lora-to-gguf', ['inspect', '--json', path])
      if (one.expect === 'accept') {
        assert.equal(code, 0, stderr)
        assert.equal(typeof (JSON.parse(stdout) as { kind: unknown }).kind, 'string')
        return
      }
      assert.ok([3, 4, 5, 6].includes(code ?? 0), `exit ${code}: ${stderr}`)
      assert.match(stderr, /^error: [^\n]{1,590}\n$/)
      const { event, exitCode } = JSON.parse(stdout) as { event: string; exitCode: number }
      assert.deepEqual([event, exitCode], ['error', code])
    })
  }
})
