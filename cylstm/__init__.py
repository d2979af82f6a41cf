from .history import History
from .model import SequenceModel
from .optim import Adam, AdamW, SGD, RMSprop
from .recurrent import LSTM, RNN
