"""An image to a sequence of columns that know their neighbors: the first three of four stages.

Baek et al. 2019, "What Is Wrong With Scene Text Recognition Model Comparisons?", section 3 and
Figure 3, which name the stages and, by their first letters, the recognizers:
TPS-ResNet-BiLSTM-Attention (TRBA) and -CTC (TRBC).
"""

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from strhub.models.layers.convolution import check_height, check_image_size, initialize_convolutions
from strhub.models.layers.recurrent import BidirectionalLSTM
from strhub.models.layers.resnet import ResNet
from strhub.models.layers.spatial_transformer import SpatialTransformer
from strhub.models.network import Network


class ColumnRecognizer(Network):
    """Transformation, feature extraction, sequence modeling. What extends it adds the fourth stage,
    prediction.

    charset_size: characters it knows; max_label_length: the longest text, in characters.
    img_size: height and width in pixels, the height at least 32; num_fiducial: points of the
        transformation;
    localization_channel: of the convolutions that find them, a multiple of 8; output_channel: of
    the features, a multiple of 16; hidden_size: of the recurrent layers, and of each column in the
    end.
    """

    def __init__(
        self,
        *,
        charset_size: int,
        max_label_length: int,
        img_size: Sequence[int],
        num_fiducial: int,
        output_channel: int,
        hidden_size: int,
        localization_channel: int = 512,
    ) -> None:
        super().__init__()
        height, width = img_size
        check_height(height)
        self.max_label_length = max_label_length
        self.img_size = (height, width)
        self.Transformation = SpatialTransformer(
            num_fiducial=num_fiducial,
            img_size=self.img_size,
            localization_channel=localization_channel,
        )
        self.FeatureExtraction = nn.Sequential(
            OrderedDict(ConvNet=ResNet(output_channel=output_channel))
        )
        self.SequenceModeling = nn.Sequential(
            BidirectionalLSTM(
                input_size=output_channel, hidden_size=hidden_size, output_size=hidden_size
            ),
            BidirectionalLSTM(
                input_size=hidden_size, hidden_size=hidden_size, output_size=hidden_size
            ),
        )
        initialize_convolutions(self)
        self.Prediction = self.prediction(charset_size, hidden_size)

    @abstractmethod
    def prediction(self, charset_size: int, hidden_size: int) -> nn.Module:
        """Return the fourth stage, with fresh weights: columns (B, W, hidden_size) to
        characters.
        """

    def columns(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W), normalized, to columns (B, W // 4 + 1, hidden_size)."""
        check_image_size(images, self.img_size)
        straight = self.Transformation(images)  # (B, 3, H, W)
        features = self.FeatureExtraction(straight)  # (B, output_channel, H', W')
        return self.SequenceModeling(features.mean(2).transpose(1, 2))  # (B, C, W') -> (B, W', C)

    @staticmethod
    def stage_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the sizes of these stages that bare weights tell. The image is taken to be 32
        high, if that fits.
        """
        pixels = weights["Transformation.GridGenerator.P_hat"].shape[0]
        return {
            "img_size": [32, pixels // 32],
            "num_fiducial": weights[
                "Transformation.LocalizationNetwork.localization_fc2.bias"
            ].shape[0]
            // 2,
            "localization_channel": weights[
                "Transformation.LocalizationNetwork.conv.12.weight"
            ].shape[0],
            "output_channel": weights["FeatureExtraction.ConvNet.conv4_2.weight"].shape[0],
            "hidden_size": weights["SequenceModeling.0.linear.weight"].shape[0],
        }
