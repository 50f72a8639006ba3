import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openChatTemplate } from '../src/ollama/render-template.js'
import type { Rendering } from '../src/ollama/render-template.js'
import { HANG_MS } from './support/hang.js'

const HI = [{ role: 'user', content: 'Hi "there"' }] as const

async function render(source: string): Promise<Rendering> {
  const template = await openChatTemplate(source, { bosToken: '<s>' })
  return 'failed' in template ? { kind: 'failed', message: template.failed } : template.render(HI, { openAnswer: true })
}

const GROWN = '{% set n = namespace(s="aaaaaaaa") %}{% for i in range(9) %}{% set n.s = n.s ~ n.s %}{% endfor %}' // 4096 characters

/** What an untrusted template might try; each must end soon, with a reason. */
const GREEDY: readonly (readonly [what: string, template: string])[] = [
  ['loops in loops', '{% for a in range(8000) %}{% for b in range(8000) %}{% for c in range(8000) %}x{% endfor %}{% endfor %}{% endfor %}'],
  ['empty loops in loops', '{% for a in range(8000) %}{% for b in range(8000) %}{% endfor %}{% endfor %}'],
  ['a huge range', '{% for a in range(1000000000) %}{% endfor %}'],
  ['a range in tiny steps', '{% for a in range(0, 1000, 0.0000001) %}{% endfor %}'],
  ['a range without a step', '{% for a in range(0, 10, 0) %}{% endfor %}'],
  ['a text that doubles', `${GROWN}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}`],
  ['replace between all letters', `${GROWN}{{ n.s | replace('', n.s) }}`],
  ['the method replace', `${GROWN}{{ n.s.replace('a', n.s) }}`],
  ['join with a long text', `${GROWN}{{ n.s | join(n.s) }}`],
  ['a wide indent', String.raw`{{ "a\nb" | indent(500000000) }}`],
  ['a wide indent from a variable', String.raw`{% set w = 500000000 %}{{ "a\nb" | indent(width=w) }}`],
  ['wide JSON', '{% set w = 500000000 %}{{ messages | tojson(indent=w) }}'],
  [
    'a list that holds itself twice, sixty times over',
    '{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a | tojson }}',
  ],
  ['a namespace that holds itself', '{% set n = namespace() %}{% set n.a = n %}{% set n.b = n %}{{ n ~ "" }}'],
  ['a macro that calls itself twice', '{% macro f(g, x) %}{% if x > 0 %}{{ g(g, x - 1) }}{{ g(g, x - 1) }}{% endif %}{% endmacro %}{{ f(f, 60) }}'],
  ['a macro that calls itself for ever', '{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}'],
  ['long macros in a loop', `{% for i in range(8000) %}{% macro f() %}${'{{ a.b }}'.repeat(6000)}{% endmacro %}{% endfor %}`],
  ['unknown names', '{% for a in range(8000) %}{% for b in range(8000) %}{{ q }}{% endfor %}{% endfor %}'],
  ['sorting again and again', '{% for b in range(8000) %}{% set x = range(4000) | sort %}{% endfor %}'],
  ['deep brackets', `{{ ${'('.repeat(30_000)}1${')'.repeat(30_000)} }}`],
  ['deep ifs', '{% if a %}'.repeat(6_000)],
  ['a long sum', `{{ "a" ${'~ "a"'.repeat(10_000)} }}`],
  ['many blanks', `${' '.repeat(60_000)}{%`],
  ['too long a template', 'x'.repeat(65_537)],
  ['too long a text', 'x'.repeat(9_000)],
]

describe('openChatTemplate', () => {
  for (const [what, template] of GREEDY) {
    it(`stops a template that tries ${what}`, async () => {
      const start = performance.now()
      assert.equal((await render(template)).kind, 'failed')
      assert.ok(performance.now() - start < HANG_MS, 'took too long') // alone on a machine: at most 0.5 s
    })
  }

  it('gives templates no way to the host', async () => {
    for (const path of [
      'messages.constructor',
      'range.constructor',
      'messages.__proto__',
      'raise_exception.__proto__',
      'globalThis',
      'process',
      '"".constructor',
      'messages["length"].constructor',
      'namespace().constructor',
    ]) {
      assert.deepEqual(await render(`[{{ ${path} is undefined }}]`), { kind: 'text', text: '[true]', asksForDate: false }, path)
    }
  })

  it('renders as transformers does: blocks leave no line, tools and documents are none, the question opens an answer', async () => {
    const template =
      '{% for m in messages %}\n  {% if m.role == "user" %}\n{{ m.content }}\n  {% endif %}\n{% endfor %}\n{{ tools is none and documents is none }}{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}'
    assert.deepEqual(await render(template), { kind: 'text', text: 'Hi "there"\ntrue<s>true', asksForDate: false })
  })

  it('tells a refusal from a fault', async () => {
    assert.deepEqual(await render('{{ raise_exception("no " + messages[0].role) }}'), { kind: 'raised', message: 'no user' })
    assert.equal((await render('{{ nothing + 1 }}')).kind, 'failed')
  })

  it('says when a template asks for the date, and gives the same one every day', async () => {
    assert.deepEqual(await render('{{ strftime_now("%Y-%m-%d") }}'), { kind: 'text', text: '2024-07-26', asksForDate: true })
  })

  it('lets one rendering know nothing of another', async () => {
    const template = await openChatTemplate('{% set n = namespace(i=0) %}{% for m in messages %}{% set n.i = n.i + 1 %}{% endfor %}{{ n.i }}', {})
    assert.ok('render' in template)
    for (let i = 0; i < 3; i++) assert.deepEqual(template.render(HI, { openAnswer: true }), { kind: 'text', text: '1', asksForDate: false })
  })
})
