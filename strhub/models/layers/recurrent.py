"""Recurrent layers over the columns of an image's features."""

from torch import Tensor, nn


class BidirectionalLSTM(nn.Module):
    """An LSTM in either direction and a linear layer over both: each column learns what stands to
    its left and right.

    Shi, Bai & Yao 2017 (CRNN), section 2.2 and Figure 3.
    """

    def __init__(self, *, input_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(input_size, hidden_size, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden_size, output_size)
        initialize_recurrent(self)

    def forward(self, columns: Tensor) -> Tensor:
        """Map (B, W, input_size) to (B, W, output_size)."""
        # copies of a network lose the one piece of memory that cuDNN wants
        self.rnn.flatten_parameters()
        recurrent, _ = self.rnn(columns)  # (B, W, 2 * hidden_size)
        return self.linear(recurrent)


def initialize_recurrent(layer: nn.Module) -> None:
    """Initialize weights under which two such layers in turn still tell columns apart; torch's own
    leave a seventieth of it.

    Glorot & Bengio 2010 for what comes in, orthogonal for what comes back (Saxe et al. 2014), gate
    by gate.
    """
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
            continue
        for gate in (
            parameter.chunk(4) if "weight_ih" in name or "weight_hh" in name else [parameter]
        ):
            if "weight_hh" in name:
                nn.init.orthogonal_(gate)
            else:
                nn.init.xavier_uniform_(gate)
