"""Words from which generated tables are put together."""

from __future__ import annotations

__all__ = [
    "ADJECTIVES",
    "COMPANIES",
    "COUNTRIES",
    "ENDS",
    "FIRST",
    "GENRES",
    "GOODS",
    "KEYWORDS",
    "LAST",
    "MEANS",
    "NOUNS",
    "OBJECTS",
    "ONSETS",
    "TOPICS",
    "VENUES",
    "VOWELS",
]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ONSETS = _words("B Br C D Dr F G Gr H K L M N P R S St T Tr V W")
VOWELS = _words("a e i o u ai ea or an el")
ENDS = _words("burg dale field ford ham haven mouth port stead ton view wick")
COUNTRIES = _words("AU BR CA CN DE FR GB IN JP KE MX NL NO NZ PL US ZA")
FIRST = _words(
    "Ada Amir Anna Aziz Boris Carla Chen Dana Elif Emil Farah Felix Gita "
    "Hana Hugo Ines Ivan Jana Jonas Kofi Lara Leila Luca Mara Mei Milan "
    "Nadia Nils Olga Omar Petra Quinn Rafael Rosa Samir Selma Tara Tomas "
    "Uma Victor Wanda Yara Yusuf Zoe"
)
LAST = _words(
    "Abbott Almeida Bauer Becker Castillo Chandra Dahl Duarte Eriksen "
    "Farouk Fischer Galvan Haddad Hoffman Ito Jansen Kamara Kowalski "
    "Lindqvist Marchetti Mbeki Moreau Nakamura Novak Okafor Olsen Pereira "
    "Petrov Quist Rahman Rossi Santos Sato Schultz Silva Tanaka Ueda Varga "
    "Weber Xu Yilmaz Zhang Zimmer"
)
ADJECTIVES = _words(
    "Amber Bitter Broken Crimson Distant Electric Empty Final Frozen Gentle "
    "Golden Hidden Hollow Last Lonely Lost Midnight Northern Pale Paper "
    "Quiet Restless Second Secret Silver Sleeping Stolen Velvet Wandering "
    "Wild"
)
NOUNS = _words(
    "Archive Bridge Cathedral Circus Compass Desert Empire Ferry Garden "
    "Harbor Horizon Island Lantern Letter Lighthouse Mirror Mountain "
    "Orchard Passenger Piano River Season Shadow Signal Station Summer Tide "
    "Train Valley Winter"
)
GENRES = _words("Action Comedy Crime Documentary Drama Mystery Romance Thriller")
COMPANIES = _words("Aldgate Bluebird Cobalt Driftwood Evergreen Foxglove Granite")
KEYWORDS = _words(
    "betrayal city family friendship heist journey memory music revenge sea war youth"
)
TOPICS = _words(
    "Attention Calibration Clustering Compression Diffusion Distillation "
    "Forecasting Inference Optimization Parsing Planning Ranking Retrieval "
    "Sampling Search Segmentation Translation Verification"
)
MEANS = _words(
    "Bayesian Contrastive Distributed Efficient Federated Hierarchical "
    "Incremental Latent Robust Scalable Sparse Stochastic"
)
OBJECTS = _words(
    "Dialogues Documents Graphs Images Meshes Networks Programs Sensors Streams Tables"
)
VENUES = _words("AAAI ACL CIKM CVPR EMNLP ICML KDD NeurIPS SIGIR WWW")
GOODS = _words(
    "Apple Brush Candle Desk Envelope Fan Glove Hammer Ink Jacket Kettle "
    "Lamp Mug Nail Oven Pillow Quilt Rope Stool Towel"
)
