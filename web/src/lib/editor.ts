/**
 * The editor of code: CodeMirror, which is loaded when a page needs it.
 *
 * It lives in a shadow root, where its styles are constructed style sheets: the policy of the pages allows no others.
 */

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const STYLE = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--code-number)" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName), tags.definition(tags.variableName), tags.typeName, tags.className], color: "var(--code-name)" },
  { tag: [tags.comment, tags.meta], color: "var(--code-comment)" },
  { tag: tags.strong, fontWeight: "600" },
]);

const THEME = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "transparent", fontSize: "var(--size-2)", minHeight: "240px", maxHeight: "var(--editor-most)" },
  "&.cm-focused": { outline: "2px solid color-mix(in srgb, var(--accent) 55%, transparent)", outlineOffset: "-2px", borderRadius: "var(--radius-2)" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", fontVariantLigatures: "none", overflow: "auto" },
  ".cm-content": { padding: "var(--space-3) 0", caretColor: "var(--text)" },
  ".cm-line": { padding: "0 var(--space-4) 0 var(--space-2)" },
  ".cm-gutters": { border: "0", backgroundColor: "transparent", color: "var(--text-3)", paddingInlineStart: "var(--space-2)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 5%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 26%, transparent)" },
  ".cm-selectionMatch, .cm-searchMatch": { backgroundColor: "color-mix(in srgb, var(--warn) 24%, transparent)" },
  ".cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--accent) 20%, transparent)" },
  ".cm-panels": { borderColor: "var(--line)", backgroundColor: "var(--sunken)", color: "var(--text)" },
  ".cm-textfield, .cm-button": { border: "1px solid var(--line-control)", borderRadius: "var(--radius-1)", background: "var(--surface)", color: "var(--text)" },
});

const LANGUAGES: Readonly<Record<string, () => Extension>> = {
  py: python,
  js: () => javascript({ jsx: true }),
  ts: () => javascript({ typescript: true }),
  sh: () => StreamLanguage.define(shell),
};
const SAME: Readonly<Record<string, string>> = { mjs: "js", cjs: "js", jsx: "js", tsx: "ts", mts: "ts", bash: "sh" };

export interface EditorOptions {
  parent: ShadowRoot;
  text: string;
  /** By its ending the language is chosen. */
  file: string;
  label: string;
  readonly: boolean;
  onchange: (text: string) => void;
}

export interface Editor {
  text(): string;
  /** Take another text, as the typing of a person that can be undone. */
  take(text: string): void;
  destroy(): void;
}

export function openEditor({ parent, text, file, label, readonly, onchange }: EditorOptions): Editor {
  const view = new EditorView({
    parent,
    root: parent,
    state: EditorState.create({ doc: text, extensions: [...common(label, text), languageOf(file), EditorState.readOnly.of(readonly), changes(onchange)] }),
  });
  return {
    text: () => view.state.doc.toString(),
    take: (next) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } }),
    destroy: () => view.destroy(),
  };
}

function common(label: string, text: string): Extension[] {
  return [
    lineNumbers(),
    highlightSpecialChars(),
    history(),
    drawSelection(),
    indentOnInput(),
    indentUnit.of(unitOf(text)),
    bracketMatching(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    highlightSelectionMatches(),
    search({ top: true }),
    syntaxHighlighting(STYLE),
    // Escape and then Tab leaves it.
    keymap.of([...searchKeymap, ...defaultKeymap, ...historyKeymap, indentWithTab]),
    EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
    EditorView.domEventHandlers({ beforeinput: replaceSelected }),
    THEME,
  ];
}

/** Put what is typed in the place of a selection. Chromium itself would keep styles in attributes, which the policy blocks. */
function replaceSelected(event: InputEvent, view: EditorView): boolean {
  const { state } = view;
  if (event.inputType !== "insertText" || event.data === null || state.selection.main.empty || state.readOnly) return false;
  event.preventDefault();
  view.dispatch(state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
  return true;
}

/** Return what the text itself indents with. */
function unitOf(text: string): string {
  if (/^\t/m.test(text)) return "\t";
  return /^ {2}(?! {2})\S/m.test(text) ? "  " : "    ";
}

function languageOf(file: string): Extension {
  const ending = file.split(".").at(-1)?.toLowerCase() ?? "";
  return LANGUAGES[SAME[ending] ?? ending]?.() ?? [];
}

function changes(onchange: (text: string) => void): Extension {
  return EditorView.updateListener.of((update) => {
    if (update.docChanged) onchange(update.state.doc.toString());
  });
}
