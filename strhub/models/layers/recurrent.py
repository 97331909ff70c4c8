"""Recurrent layers over the columns of a picture's features."""

from torch import Tensor, nn


class BidirectionalLSTM(nn.Module):
    """An LSTM in either direction and a linear layer over both: each column learns what stands to its left and right.

    Shi, Bai & Yao 2017 (CRNN), section 2.2 and Figure 3.
    """

    def __init__(self, *, input_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(input_size, hidden_size, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden_size, output_size)

    def forward(self, columns: Tensor) -> Tensor:
        """(B, W, input_size) to (B, W, output_size)."""
        self.rnn.flatten_parameters()  # copies of a network lose the one piece of memory that cuDNN wants
        recurrent, _ = self.rnn(columns)  # (B, W, 2 * hidden_size)
        return self.linear(recurrent)
