/** Where outputs go and what they are called, what is never replaced, and the options of the reference converter that decide content. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { execute, planGguf, UsageError } from '../src/index.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { runCli, runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')
const DEFAULT_NAME = 'Tiny-Story-2.5M-BF16.gguf'
const QUICK = ['--quiet', '--no-receipt', '--no-modelfile']

/** A folder of one's own with a copy of the base in it. */
function home(t: TestContext, model = 'tiny-story'): string {
  const folder = workspace(t)
  cpSync(BASE, join(folder, model), { recursive: true })
  return folder
}

/** Names of the GGUFs in a folder. */
function ggufs(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.gguf'))
}

describe('the place of a GGUF', () => {
  it('is the model’s folder, under the reference’s name', async (t) => {
    const folder = home(t)
    await runCliOk('to-gguf', ['tiny-story', ...QUICK], { cwd: folder })
    assert.deepEqual(ggufs(join(folder, 'tiny-story')), [DEFAULT_NAME])
    assert.deepEqual(ggufs(folder), [])
  })

  it('is the current folder with --adapter', async (t) => {
    const folder = home(t)
    await runCliOk('to-gguf', ['tiny-story', '--adapter', ADAPTER, ...QUICK], { cwd: folder })
    assert.deepEqual(ggufs(folder), [DEFAULT_NAME])
    assert.deepEqual(ggufs(join(folder, 'tiny-story')), [])
  })

  it('is the current folder for a model in the Hugging Face cache, also through a link', async (t) => {
    const folder = workspace(t)
    const snapshot = join('hub', 'models--org--tiny-story', 'snapshots', '0123abcd')
    cpSync(BASE, join(folder, snapshot), { recursive: true })
    symlinkSync(snapshot, join(folder, 'linked'))
    for (const model of [snapshot, 'linked']) {
      const { stdout } = await runCliOk('to-gguf', [model, '--dry-run', '--json'], { cwd: folder })
      assert.equal((JSON.parse(stdout) as { root: string }).root, '.', model)
    }
  })

  it('is an existing folder that --outfile names, or one to be made that ends in a slash', async (t) => {
    const folder = workspace(t)
    mkdirSync(join(folder, 'models.gguf')) // a folder, whatever its name says
    await runCliOk('to-gguf', [BASE, '-o', 'models.gguf', ...QUICK], { cwd: folder })
    await runCliOk('lora-merge', [BASE, ADAPTER, 'models.gguf', '--outtype', 'F16', ...QUICK], { cwd: folder })
    await runCliOk('to-gguf', [BASE, '-o', 'new/deep/', ...QUICK], { cwd: folder })
    assert.deepEqual(ggufs(join(folder, 'models.gguf')).sort(), [DEFAULT_NAME, 'Tiny-Story-2.5M-F16.gguf'])
    assert.deepEqual(ggufs(join(folder, 'new', 'deep')), [DEFAULT_NAME])
  })

  it('fills {ftype}, {outtype}, {FTYPE}, {OUTTYPE} and {} in its name', async (t) => {
    const folder = workspace(t)
    await runCliOk('to-gguf', [BASE, '--outtype', 'float16', '--outfile', 'a-{ftype}-{outtype}-{FTYPE}-{OUTTYPE}-{}.gguf', ...QUICK], { cwd: folder })
    assert.deepEqual(ggufs(folder), ['a-f16-f16-F16-F16-f16.gguf'])
    const { stdout } = await runCliOk('lora-merge', [BASE, ADAPTER, 'm-{ftype}.gguf', '--outtype', 'q8_0', '--dry-run', '--json'], { cwd: folder })
    assert.equal((JSON.parse(stdout) as { target: string }).target, 'm-q8_0.gguf')
  })

  it('takes names with blanks, quotes, accents and brackets', async (t) => {
    const folder = workspace(t)
    const name = 'héllo wörld’s "model" (1) [é].gguf'
    const { stdout } = await runCliOk('to-gguf', [BASE, '-o', name, '--outtype', 'q8_0'], { cwd: folder })
    assert.deepEqual(readdirSync(folder).sort(), ['Modelfile', name, `${name}.receipt.json`].sort())
    assert.match(readFileSync(join(folder, 'Modelfile'), 'utf8'), /^FROM "\.\/héllo wörld’s "model" \(1\) \[é\]\.gguf"$/m)
    assert.match(stdout, /^next: ollama create [a-z0-9_.-]+ -f Modelfile$/m)
  })

  it('warns of a name that states another type', async (t) => {
    const folder = workspace(t)
    const { stderr } = await runCliOk('to-gguf', [BASE, '-o', 'my-f16.gguf', '--outtype', 'q8_0', ...QUICK], { cwd: folder })
    assert.match(stderr, /^warning: .*my-f16\.gguf says f16, but the type is q8_0\n$/)
    const silent = await runCliOk('to-gguf', [BASE, '-o', 'my-f16.gguf', '--outtype', 'fp16', '--force', ...QUICK], { cwd: folder })
    assert.equal(silent.stderr, '')
  })
})

describe('what stands there already', () => {
  it('is refused with exit 5 and stays; --force replaces it', async (t) => {
    const folder = workspace(t)
    writeFileSync(join(folder, 'x.gguf'), 'mine')
    mkdirSync(join(folder, 'out'))
    writeFileSync(join(folder, 'out', 'notes.txt'), 'mine')
    writeFileSync(join(folder, 'x.safetensors'), 'mine')
    for (const [command, args] of [
      ['to-gguf', [BASE, '-o', 'x.gguf']],
      ['lora-merge', [BASE, ADAPTER, 'x.gguf']],
      ['lora-merge', [BASE, ADAPTER, 'x.safetensors']],
      ['lora-merge', [BASE, ADAPTER, 'out']],
      ['lora-merge', [BASE, ADAPTER, join('out', 'notes.txt')]],
    ] as const) {
      const { code, stderr } = await runCli(command, args, { cwd: folder })
      assert.equal(code, 5, stderr)
      assert.match(stderr, /^error: (?:x\.gguf|x\.safetensors|out|.*notes\.txt): [^\n]+\n$/)
    }
    assert.deepEqual(readdirSync(folder).sort(), ['out', 'x.gguf', 'x.safetensors'])
    for (const name of ['x.gguf', 'x.safetensors', join('out', 'notes.txt')]) assert.equal(readFileSync(join(folder, name), 'utf8'), 'mine')
    await runCliOk('lora-merge', [BASE, ADAPTER, 'x.gguf', '--force', ...QUICK], { cwd: folder })
    assert.ok(readFileSync(join(folder, 'x.gguf')).subarray(0, 4).equals(Buffer.from('GGUF')))
    await runCliOk('lora-merge', [BASE, ADAPTER, 'out', '--force', '--quiet'], { cwd: folder })
    assert.equal(readFileSync(join(folder, 'out', 'notes.txt'), 'utf8'), 'mine')
  })

  it('a default name in the model’s folder that is taken is refused as well', async (t) => {
    const folder = home(t)
    writeFileSync(join(folder, 'tiny-story', DEFAULT_NAME), 'mine')
    assert.equal((await runCli('to-gguf', ['tiny-story'], { cwd: folder })).code, 5)
    assert.equal(readFileSync(join(folder, 'tiny-story', DEFAULT_NAME), 'utf8'), 'mine')
  })

  it('a receipt of the user’s own choice is not replaced without --force', async (t) => {
    const folder = workspace(t)
    writeFileSync(join(folder, 'diary.json'), 'mine')
    const { code } = await runCli('to-gguf', [BASE, '-o', 'x.gguf', '--receipt', 'diary.json'], { cwd: folder })
    assert.equal(code, 5)
    assert.equal(readFileSync(join(folder, 'diary.json'), 'utf8'), 'mine')
    assert.ok(!existsSync(join(folder, 'x.gguf')))
  })

  it('an input is never replaced, even with --force: not its weights, not what lies beside them', async (t) => {
    const folder = home(t)
    const names = readdirSync(join(folder, 'tiny-story'))
    const digest = (): string[] =>
      names.map((name) =>
        createHash('sha256')
          .update(readFileSync(join(folder, 'tiny-story', name)))
          .digest('hex'),
      )
    const before = digest()
    for (const name of names) {
      const outfile = join(folder, 'tiny-story', name)
      const run = async (): Promise<unknown> => execute(await planGguf({ model: join(folder, 'tiny-story'), outfile }), { force: true })
      await assert.rejects(run, UsageError, name)
    }
    assert.deepEqual(digest(), before)
  })
})

describe('options that decide what is in the GGUF', () => {
  it('--vocab-only writes no tensors, no Modelfile, and a name that ends in -vocab', async (t) => {
    const folder = home(t)
    await runCliOk('to-gguf', ['tiny-story', '--vocab-only', '--quiet'], { cwd: folder })
    assert.deepEqual(ggufs(join(folder, 'tiny-story')), ['Tiny-Story-vocab.gguf'])
    assert.ok(!existsSync(join(folder, 'tiny-story', 'Modelfile')))
    const { stdout } = await runCliOk('lora-to-gguf', ['inspect', '--json', join(folder, 'tiny-story', 'Tiny-Story-vocab.gguf')])
    const { tensors, metadata } = JSON.parse(stdout) as { tensors: unknown[]; metadata: { key: string; length?: number }[] }
    assert.deepEqual(tensors, [])
    assert.equal(metadata.find(({ key }) => key === 'tokenizer.ggml.tokens')?.length, 645)
  })

  it('--no-vocab writes tokenizer.ggml.model "none", no token tables and no Modelfile, and says so', async (t) => {
    const folder = workspace(t)
    const { stdout } = await runCliOk('to-gguf', [BASE, '-o', 'x.gguf', '--no_vocab'], { cwd: folder })
    assert.match(stdout, /no tokenizer is written \(--no-vocab\)/)
    assert.ok(!existsSync(join(folder, 'Modelfile')))
    const inspected = await runCliOk('lora-to-gguf', ['inspect', '--json', 'x.gguf'], { cwd: folder })
    const { metadata } = JSON.parse(inspected.stdout) as { metadata: { key: string; value: unknown }[] }
    assert.deepEqual(
      metadata.filter(({ key }) => key.startsWith('tokenizer.')).map(({ key, value }) => [key, value]),
      [['tokenizer.ggml.model', 'none']],
    )
  })

  it('--model-name and --metadata override what is derived', async (t) => {
    const folder = workspace(t)
    writeFileSync(join(folder, 'meta.json'), '{"general.name": "From the file", "general.author": "me"}')
    await runCliOk('to-gguf', [BASE, '-o', 'x.gguf', '--metadata', 'meta.json', '--model_name', 'Typed', ...QUICK], { cwd: folder })
    const { stdout } = await runCliOk('lora-to-gguf', ['inspect', '--json', 'x.gguf'], { cwd: folder })
    const values = new Map((JSON.parse(stdout) as { metadata: { key: string; value: unknown }[] }).metadata.map(({ key, value }) => [key, value]))
    assert.equal(values.get('general.author'), 'me')
    assert.equal(values.get('general.name'), 'Typed')
  })

  it('a --metadata file that is missing is exit 5, a broken one exit 3; both are named', async (t) => {
    const folder = workspace(t)
    writeFileSync(join(folder, 'broken.json'), '{"general.name": ')
    for (const [name, wanted] of [
      ['missing.json', 5],
      ['broken.json', 3],
    ] as const) {
      const { code, stderr } = await runCli('to-gguf', [BASE, '-o', 'x.gguf', '--metadata', name], { cwd: folder })
      assert.equal(code, wanted, stderr)
      assert.match(stderr, new RegExp(`^error: ${name}`))
    }
  })

  it('an unknown --pre is exit 2; a pre-tokenizer that nobody knows is exit 4 and offers --pre with the names', async (t) => {
    const folder = home(t)
    const unknown = await runCli('to-gguf', [BASE, '-o', 'x.gguf', '--pre', 'no-such'], { cwd: folder })
    assert.equal(unknown.code, 2)
    assert.match(unknown.stderr, /no-such.*llama-bpe/)
    const path = join(folder, 'tiny-story', 'tokenizer.json')
    const tokenizer = JSON.parse(readFileSync(path, 'utf8')) as { pre_tokenizer: unknown }
    tokenizer.pre_tokenizer = {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: 'q+|[^q]+' }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    }
    writeFileSync(path, JSON.stringify(tokenizer))
    const strange = await runCli('to-gguf', ['tiny-story', '-o', 'x.gguf'], { cwd: folder })
    assert.equal(strange.code, 4, strange.stderr)
    assert.match(strange.stderr, /--pre/)
    assert.match(strange.stderr, /llama-bpe/)
    await runCliOk('to-gguf', ['tiny-story', '-o', 'x.gguf', '--pre', 'llama-bpe', ...QUICK], { cwd: folder })
  })
})

describe('the reference converter’s options, byte for byte', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  interface Expected {
    readonly results: Readonly<Record<string, { args: string[]; outfileArg: string; files: Record<string, { fileSha256?: string }> }>>
  }
  // what make_gguf_extra.py wrote into the file (docs: convert.md 9.10)
  const METADATA = {
    'general.name': 'Overridden Name',
    'general.author': 'me',
    'general.version': 'v9',
    'general.quantized_by': 'bot',
    'general.license_name': 'custom',
    'general.base_models': [{ name: 'B', organization: 'O', repo_url: 'https://x/y' }],
    'general.tags': ['a', 'b'],
    'general.languages': ['de'],
  }
  const CASES = ['cli f16 (equality with in-process)', 'model-name', 'metadata', 'vocab-only', 'template']
  const folder = join(GOLDEN ?? '', 'gguf')
  const results = GOLDEN === undefined ? {} : (JSON.parse(readFileSync(join(folder, 'convert-options', 'expected.json'), 'utf8')) as Expected).results

  for (const name of CASES) {
    it(`writes the same bytes: ${name}`, async (t) => {
      const want = results[name]
      assert.ok(want !== undefined)
      const out = workspace(t)
      writeFileSync(join(out, 'meta.json'), JSON.stringify(METADATA))
      const args = want.args.map((arg) => (arg.endsWith('.json') ? 'meta.json' : arg))
      await runCliOk('to-gguf', [join(folder, 'llama', 'Tiny-Llama-1M-Chat-v1.0'), ...args, '--outfile', want.outfileArg, ...QUICK], { cwd: out })
      const [first] = Object.entries(want.files)
      assert.ok(first)
      const [file, { fileSha256 }] = first
      assert.deepEqual(ggufs(out), [file])
      assert.equal(
        createHash('sha256')
          .update(readFileSync(join(out, file)))
          .digest('hex'),
        fileSha256,
      )
    })
  }
})
