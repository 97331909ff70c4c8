"""TRBA's attention decoder (Baek et al. 2019, section 3.4 and supplement; Bahdanau et al. 2015,
appendix A).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from strhub.models.layers.recurrent import initialize_recurrent

State = tuple[Tensor, Tensor]  # an LSTM's hidden and cell state, (B, hidden_size) each


class Columns(NamedTuple):
    """What is attended to: columns (B, W, column_size), and their keys (B, W, hidden_size), the
    same at every step.
    """

    values: Tensor
    keys: Tensor


class AttentionCell(nn.Module):
    """One step: look where the state says, then update the state with what is seen and the last
    token.
    """

    def __init__(self, *, column_size: int, embed_dim: int, hidden_size: int) -> None:
        super().__init__()
        self.i2h = nn.Linear(column_size, hidden_size, bias=False)
        self.h2h = nn.Linear(hidden_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)
        self.rnn = nn.LSTMCell(column_size + embed_dim, hidden_size)

    def forward(self, embedding: Tensor, columns: Columns, state: State) -> State:
        """Take one step. embedding: of the last token, (B, embed_dim)."""
        query = self.h2h(state[0]).unsqueeze(1)  # (B, 1, hidden_size)
        weights = self.score(torch.tanh(columns.keys + query)).softmax(1)  # (B, W, 1)
        seen = (weights.transpose(1, 2) @ columns.values).squeeze(
            1
        )  # (B, 1, W) @ (B, W, C) -> (B, C)
        hidden, cell = self.rnn(torch.cat([seen, embedding], dim=1), state)
        return hidden, cell


class AttentionDecoder(nn.Module):
    """Columns to characters, one after the other. `charset_size` as in `TRBA`; tokens are embedded
    in hidden_size.
    """

    def __init__(self, *, charset_size: int, column_size: int, hidden_size: int) -> None:
        super().__init__()
        self.eos_id, self.bos_id = 0, charset_size + 1
        self.attention_cell = AttentionCell(
            column_size=column_size, embed_dim=hidden_size, hidden_size=hidden_size
        )
        self.generator = nn.Linear(hidden_size, charset_size + 3)
        self.char_embeddings = nn.Embedding(charset_size + 3, hidden_size)
        initialize_recurrent(self.attention_cell)
        nn.init.trunc_normal_(
            self.char_embeddings.weight, std=0.02
        )  # no louder at first than what is seen

    def forward(self, columns: Tensor, steps: int, *, stop_early: bool) -> Tensor:
        """Read columns (B, W, column_size) greedily to logits (B, L, charset_size + 3), L = steps
        if not stopped early.

        stop_early: when every row has read [E].
        """
        context = self._context(columns)
        state = self._initial_state(columns)
        token = torch.full(
            (columns.shape[0],), self.bos_id, dtype=torch.long, device=columns.device
        )
        ended = torch.zeros_like(token, dtype=torch.bool)
        logits = []
        for _ in range(steps):
            state = self.attention_cell(self.char_embeddings(token), context, state)
            logits.append(self.generator(state[0]))  # (B, charset_size + 3)
            token = logits[-1].argmax(-1)
            if stop_early:
                ended |= token == self.eos_id
                if ended.all():
                    break
        return torch.stack(logits, dim=1)

    def begin_steps(self, columns: Tensor, beams: int) -> Callable[[int, Tensor, Tensor], Tensor]:
        """See `TRBA.begin_steps`; columns: (B, W, column_size)."""
        columns = columns.repeat_interleave(beams, 0)
        context, state = self._context(columns), self._initial_state(columns)
        start = torch.full(
            (columns.shape[0],), self.bos_id, dtype=torch.long, device=columns.device
        )

        def step(number: int, tokens: Tensor, parents: Tensor) -> Tensor:
            nonlocal state
            token = start
            if number:
                first = torch.arange(len(parents), device=parents.device).unsqueeze(1) * beams
                rows = (first + parents).flatten()
                state, token = (state[0][rows], state[1][rows]), tokens.flatten()
            state = self.attention_cell(self.char_embeddings(token), context, state)
            return self.generator(state[0])

        return step

    def logits_after(self, columns: Tensor, tokens: Tensor) -> Tensor:
        """Return logits of what follows each of the true tokens (B, T), which begin with [B]: (B,
        T, charset_size + 3).
        """
        context = self._context(columns)
        state = self._initial_state(columns)
        hidden = []
        for embedding in self.char_embeddings(tokens).unbind(1):
            state = self.attention_cell(embedding, context, state)
            hidden.append(state[0])
        return self.generator(torch.stack(hidden, dim=1))

    def _context(self, columns: Tensor) -> Columns:
        return Columns(columns, self.attention_cell.i2h(columns))

    def _initial_state(self, columns: Tensor) -> State:
        """Return the state when nothing is read yet: zeros."""
        zeros = columns.new_zeros(columns.shape[0], self.generator.in_features)
        return zeros, zeros
