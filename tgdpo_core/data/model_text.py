"""The text of a pair as a model sees it, and its token ids.

Special tokens that the layout writes (a chat template, the tokenizer's BOS) are such; those that
stand in the row's own text are what ``data.special_tokens`` says.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tgdpo_core.data.content_tags import Content, FoundContents
from tgdpo_core.data.encoding import EncodedText, check_tokenizer, encode_texts
from tgdpo_core.data.offsets import offsets_cover
from tgdpo_core.data.open_ends import left_open
from tgdpo_core.data.pairs import Message, PreferencePair
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.special_tokens import (
    ModelText,
    SpecialTokens,
    plain_text,
    refuse_in_messages,
)
from tgdpo_core.data.templates import ChatTemplate, described
from tgdpo_core.errors import DataError
from tgdpo_core.plugin_api.rewards import Side


class PairReader:
    """Lays out pairs for a model and tokenizes them.

    Args:
        tokenizer: a fast tokenizer of transformers with an EOS token.

    Raises:
        DataError: it has no EOS token or gives no offsets.
    """

    def __init__(self, tokenizer: Any) -> None:
        check_tokenizer(tokenizer)
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self._tokens = SpecialTokens(tokenizer)

    def template_variables(self, pair: PreferencePair) -> set[str]:
        """Return the variables that the chat template reads beside messages, tools and tokens."""
        return self._template.variables(pair)

    def prompt(self, pair: PreferencePair) -> ModelText:
        """Return the prompt alone.

        Raises:
            RowProblem: it cannot be laid out.
            DataError: the chat template runs away.
        """
        if isinstance(pair.prompt, str):
            return self._plain(pair, None)
        messages, changes = self._without_ends(pair, pair.prompt, is_finished=False)
        text = self._template.render(pair, messages, generation_prompt=True)
        if not self._hold_special_tokens(pair, messages):
            return ModelText(text, (), changes)
        contents = self._template.contents(pair, messages, text, generation_prompt=True)
        return self._with_user_spans(pair, text, contents, changes)

    def with_response(self, pair: PreferencePair, side: Side) -> ModelText:
        """Return prompt and response.

        Raises:
            RowProblem: they cannot be laid out, or the chat template leaves out a part of them.
            DataError: the chat template runs away.
        """
        response = pair.response(side)
        if isinstance(response, str):
            return self._plain(pair, response)
        messages, changes = self._without_ends(pair, [*pair.prompt, *response], is_finished=True)
        text = self._template.render(pair, messages)
        contents = self._template.contents(pair, messages, text)
        changes |= _losses(pair, messages, contents.lost())
        whole = self._with_user_spans(pair, text, contents, changes)
        if pair.is_finished(side):
            return whole
        return left_open(whole, self._template.render_open(pair, messages))

    def encode(
        self, texts: Sequence[ModelText], *, add_special_tokens: bool
    ) -> list[EncodedText | RowProblem]:
        """Return each text with ids and offsets, or what the tokenizer says against it.

        BOS is there once, and no EOS that the tokenizer adds by itself.
        """
        plain = [source.text for source in texts if not source.user]
        fast = iter(self._encode_all(plain, add_special_tokens=add_special_tokens))
        encoded: list[EncodedText | RowProblem] = []
        for source in texts:
            found = (
                self._encode_with_user_text(source, add_special_tokens=add_special_tokens)
                if source.user
                else next(fast)
            )
            if add_special_tokens and not isinstance(found, RowProblem):
                found = self._without_added_ends(found)
            encoded.append(found)
        return encoded

    def _encode_all(
        self, texts: Sequence[str], *, add_special_tokens: bool
    ) -> Sequence[EncodedText | RowProblem]:
        try:
            return encode_texts(texts, self._tokenizer, add_special_tokens=add_special_tokens)
        except Exception as error:  # what the Rust tokenizers raise is a plain Exception
            if isinstance(error, DataError) and len(texts) == 1:
                raise
            if len(texts) > 1:  # which one?
                return [
                    result
                    for text in texts
                    for result in self._encode_all([text], add_special_tokens=add_special_tokens)
                ]
            return [RowProblem("tokenizer_fails", f"the tokenizer fails on the text: {error}")]

    def _encode_with_user_text(
        self, source: ModelText, *, add_special_tokens: bool
    ) -> EncodedText | RowProblem:
        try:
            ids, offsets = self._tokens.encode(source, add_special_tokens=add_special_tokens)
        except RowProblem as problem:
            return problem
        except Exception as error:  # noqa: BLE001 - Rust tokenizers raise a plain Exception
            return RowProblem(
                "tokenizer_fails",
                "the tokenizer fails on the text with its special tokens as ordinary text "
                f"(data.special_tokens=keep takes them as such): {error}",
            )
        if not offsets_cover(offsets, source.text, self._tokenizer):
            return RowProblem(
                "special_token_in_text",
                "the text holds special tokens, and this tokenizer gives no offsets that cover it "
                "without them. Take them out, or set data.special_tokens=keep",
            )
        return EncodedText(source.text, ids, offsets)

    def _without_added_ends(self, encoded: EncodedText) -> EncodedText:
        """Drop the tokenizer's BOS in front of the text's own, and its EOS."""
        bos, eos = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        text, ids, offsets = encoded
        if len(ids) and ids[-1] == eos and offsets[-1, 0] == offsets[-1, 1]:
            ids, offsets = ids[:-1], offsets[:-1]
        if bos is not None and len(ids) > 1 and ids[0] == ids[1] == bos:
            ids, offsets = ids[1:], offsets[1:]
        return EncodedText(text, ids, offsets)

    # -- rows of text ----------------------------------------------------------------------------

    def _plain(self, pair: PreferencePair, response: str | None) -> ModelText:
        if pair.template_kwargs:
            raise RowProblem(
                "unread_template_kwargs",
                "the row is text, so no chat template reads the row's template variables",
            )
        if not self._tokens.find(f"{pair.prompt}{response or ''}"):
            return ModelText(f"{pair.prompt}{response or ''}")
        source = plain_text(
            str(pair.prompt), response, self._tokens, pair.special_tokens, self._template.turn_mark
        )
        changes = set()
        if pair.special_tokens != "text":
            if self._tokens.leading_bos(source.text):
                changes.add("bos_not_doubled")
            if response and self._tokens.trailing_eos(response):
                changes.add("eos_not_doubled")
        if source.user:
            changes.add("special_tokens_in_text")
        elif pair.special_tokens == "keep" and self._tokens.find(source.text):
            changes.add("special_tokens_kept")
        return source._replace(changes=frozenset(changes))

    # -- chats -----------------------------------------------------------------------------------

    def _without_ends(
        self, pair: PreferencePair, messages: Sequence[Message], *, is_finished: bool
    ) -> tuple[list[Message], frozenset[str]]:
        """Drop a BOS that the first message begins with and an EOS that the last one ends with.

        The layout writes its own.
        """
        shortened = [*messages]
        if pair.special_tokens not in ("auto", "keep"):
            return shortened, frozenset()
        changes = set()
        first = _content(shortened[0])
        head = self._tokens.leading_bos(first)
        if 0 < head < len(first):
            shortened[0] = {**shortened[0], "content": first[head:]}
            changes.add("bos_not_doubled")
        last = _content(shortened[-1])
        tail = self._tokens.trailing_eos(last) if is_finished else 0
        if 0 < tail < len(last):
            shortened[-1] = {**shortened[-1], "content": last[: len(last) - tail]}
            changes.add("eos_not_doubled")
        return shortened, frozenset(changes)

    def _hold_special_tokens(self, pair: PreferencePair, messages: Sequence[Message]) -> bool:
        return any(self._tokens.find(text) for text in _strings([*messages, *(pair.tools or ())]))

    def _with_user_spans(
        self,
        pair: PreferencePair,
        text: str,
        contents: FoundContents,
        changes: frozenset[str],
    ) -> ModelText:
        holding = [c.text for c in contents.contents if self._tokens.find(c.text)]
        if not holding:
            return ModelText(text, (), changes)
        if pair.special_tokens == "error":
            refuse_in_messages(holding, self._tokens)
        if pair.special_tokens == "keep":
            return ModelText(text, (), changes | {"special_tokens_kept"})
        spans = contents.spans()
        if spans is None:
            raise RowProblem(
                "special_token_in_text",
                f"the messages hold special tokens ({holding[0][:40]!r}), and the chat template "
                "changes the messages, so that they cannot be told from its own. Take them out, or "
                "set data.special_tokens=keep to take them as such",
            )
        user = [span for span in spans if self._tokens.find(text[slice(*span)])]
        return ModelText(text, user, changes | ({"special_tokens_in_text"} if user else set()))


def adds_special_tokens(tokenizer: Any, pair: PreferencePair) -> bool:
    """Return whether BOS and EOS are added to a pair's text: a chat template writes its own."""
    return not (pair.is_chat and tokenizer.chat_template)


def encode_prompts(pairs: Sequence[PreferencePair], tokenizer: Any) -> list[list[int]]:
    """Return the token ids of prompts, as in training, for a model to go on from.

    Raises:
        DataError: one cannot be laid out.
    """
    reader = PairReader(tokenizer)
    prompts = []
    for pair in pairs:
        try:
            prompts.append(reader.prompt(pair))
        except RowProblem as problem:
            raise DataError(f"{pair.where}: {problem}") from problem
    special = adds_special_tokens(tokenizer, pairs[0])
    encoded = reader.encode(prompts, add_special_tokens=special)
    for pair, found in zip(pairs, encoded, strict=True):
        if isinstance(found, RowProblem):
            raise DataError(f"{pair.where}: {found}") from found
    return [found.ids.tolist() for found in encoded if isinstance(found, EncodedText)]


def _losses(
    pair: PreferencePair, messages: Sequence[Message], lost: Sequence[Content]
) -> frozenset[str]:
    """Return what to count for contents that the chat template left out.

    Reasoning of an earlier turn is left out by design, before training as at its use.

    Raises:
        RowProblem: anything else is missing, and the row may not lose it.
    """
    in_prompt = len(pair.prompt)
    by_design = [c for c in lost if c.what == "reasoning" and 0 <= c.message < in_prompt]
    others = [c for c in lost if c not in by_design]
    if others and not pair.may_lose_text:
        raise RowProblem(
            "text_lost",
            f"the chat template leaves out {described(others, messages)}. Change the row or the "
            "template, or set data.lost_text=count to train without it",
        )
    names = {"text_lost": others, "earlier_reasoning_left_out": by_design}
    return frozenset(name for name, contents in names.items() if contents)


def _content(message: Message) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
