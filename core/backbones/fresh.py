"""Untrained backbones and tokenizers of each family, for pretraining and for tests."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from core.backbones.base import Backbone
from core.backbones.bert import Bert
from core.backbones.roberta import Roberta
from core.backbones.t5 import T5

ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SENTINELS = 16


def train_bpe(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with RoBERTa's special tokens and ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=ROBERTA_SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def train_unigram(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A SentencePiece-style unigram tokenizer with T5's special tokens, ids and sentinels."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    sentinels = [f"<extra_id_{i}>" for i in range(SENTINELS)]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "</s>", "<unk>", *sentinels],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=sentinels,
    )


def wordpiece(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer with BERT's special tokens, these words and characters.

    It is not trained, because WordPiece training gives a different vocabulary in every process.
    """
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    entries = [*BERT_SPECIALS, *letters, *(f"##{c}" for c in letters), *sorted(set(words))]
    vocabulary = {entry: i for i, entry in enumerate(dict.fromkeys(entries))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def fresh_bert(tokenizer: Any, *, seed: int, **sizes: Any) -> Bert:
    """A BertForMaskedLM with random weights; `sizes` are BertConfig's own names."""
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **sizes)
    return Bert("fresh", BertForMaskedLM(config), tokenizer)


def fresh_roberta(tokenizer: Any, *, seed: int, **sizes: Any) -> Roberta:
    """A RobertaForMaskedLM with random weights; `sizes` are RobertaConfig's own names."""
    torch.manual_seed(seed)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        type_vocab_size=1,
        **sizes,
    )
    return Roberta("fresh", RobertaForMaskedLM(config), tokenizer)


def fresh_t5(tokenizer: Any, *, seed: int, **sizes: Any) -> T5:
    """A T5ForConditionalGeneration with random weights; `sizes` are T5Config's own names."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        **sizes,
    )
    return T5("fresh", T5ForConditionalGeneration(config), tokenizer)


@torch.no_grad()
def look_for_copies(backbone: Backbone, *, sharpness: float = 5.0) -> None:
    """Initialize half of the heads as matching heads, which attend to copies of their token.

    Their query and key matrices are equal, so that a token's score with a copy of itself is about
    `sharpness`, with others about 0; a token's own place is made unattractive. From random heads,
    comparing two texts is out of reach for small models and short training. After Trockman and
    Kolter 2023 (mimetic initialization).
    """
    config = backbone.model.config
    heads = config.num_attention_heads // 2
    hidden = config.hidden_size
    if isinstance(backbone, T5):
        blocks = backbone.model.encoder.block
        for block in blocks:
            attention = block.layer[0].SelfAttention
            rows = heads * config.d_kv
            weight = torch.randn(rows, hidden) * (sharpness / (hidden * config.d_kv)) ** 0.5
            attention.q.weight[:rows] = weight
            attention.k.weight[:rows] = weight
        blocks[0].layer[0].SelfAttention.relative_attention_bias.weight[0, :heads] = -3.0
        return
    places = hidden // 4  # dimensions of the positions, the rest are the words'
    embeddings = backbone.model.roberta.embeddings
    embeddings.word_embeddings.weight[:, -places:] = 0
    embeddings.position_embeddings.weight[:, :-places] = 0
    size = hidden // config.num_attention_heads
    for layer in backbone.model.roberta.encoder.layer:
        attention, rows = layer.attention.self, heads * size
        weight = torch.randn(rows, hidden) * (sharpness / ((hidden - places) * size**0.5)) ** 0.5
        weight[:, -places:] *= (hidden / places - 1) ** 0.5
        attention.key.weight[:rows] = weight
        weight[:, -places:] *= -1.5
        attention.query.weight[:rows] = weight


def save_backbone(backbone: Backbone, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write the Hugging Face folder that `load_backbone` reads."""
    model = backbone.model if dtype is None else backbone.model.to(dtype)
    model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
