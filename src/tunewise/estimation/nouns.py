"""Words that tell what a number counts, as parts of regular expressions, in the languages people write in here."""

import re

COUNTED = (
    r"(?:rows?|records?|samples?|examples?|images?|pictures?|photos?|photographs?|pics|scans?|x-?rays?|slides?|labels?|annotations?"
    r"|pairs?|documents?|docs|pdfs?|articles?|tickets?|e-?mails?|messages?|reviews?|sentences?|clips?|recordings?|videos?"
    r"|frames?|cases?|users?|customers?|patients?"
    r"|pages?(?! (?:on average|each|long|per ))|transcripts?|questions?|prompts?|letters|conversations?|dialogues?"
    r"|sequences?|molecules?|tweets?|files?|tiles?|items?|products?|transactions?|datapoints|instances|entries"
    r"|listings?|invoices?|contracts?|(?<!packaging )(?<!production )(?<!assembly )lines|drafts"
    r"|masks|triplets|triples|episodes?|trajectories|volumes|scenes|recipes"
    r"|compounds|mutants|genomes|peptides|spectra|waveforms|traces|segments|snippets|crops|patches|graphs|meshes"
    r"|essays|logs|papers|abstracts|books|poems|songs|melodies|notes|reports|forms|receipts|threads|comments|queries|incidents"
    r"|failures|sessions|students|riders|drivers|speakers|readers|members|pupils|children|volunteers|participants|subjects|employees|films|movies|games|maps|drawings|sketches"
    r"|screenshots|demos|demonstrations|trials|experiments|measurements|observations|resumes|cvs|candidates|skus"
    r"|adults|nuclei|mice|people|persons|ads|micrographs?|simulations?|structures|proteins|stacks|cts|mris|ecgs|eegs|biopsies|specimens|animals|cows|birds|wearers|tracks|lessons|posts|headlines|chats|stories|letters"
    r"|bilder[n]?|fotos|zeilen|beispielen?|beispiele|datensätzen?|sätzen?|dokumenten?|dokumente|aufnahmen|texten?|texte"
    r"|seiten|kunden|lignes|exemples|factures|phrases|images?|pages|filas|ejemplos|documentos|imágenes|informes|preguntas|correos|facturas|radiografías|laudos|relatórios|perguntas|mensagens|avaliações|prontuários|rapports|courriels|avis|clichés|frases|pagine"
    r"|documenti|contratti|fatture|articoli|recensioni|esempi|righe|testi|schede|referti|domande|messaggi|lettere|pazienti|clienti|cartelle|risposte|registrazioni|foto|sentenze|etichette|immagini|exemplos|imagens|linhas)"
)
"""Nouns for examples: whatever is labelled, read or judged one by one."""
PICTURES = (
    r"(?:images?|pictures?|photos?|photographs?|frames?|videos?|clips?|scans?|tiles?|crops?|patches|thumbnails|screenshots?"
    r"|slides?|x-?rays?|bilder[n]?|fotos?|imágenes|immagini|imagens)"
)
"""What has a height and a width."""
LABELLED = r"(?:labell?ed|labels?|annotated|annotierte?n?|gelabelte?n?|annoté?e?s|etiquetad[oa]s)"
MEASURES = r"(?:张|条|个|份|篇|幅|段|句|行|枚|件|例)"
UNCOUNTED = (
    r"(?:models?|varieties|versions?|sizes|classes|features?|columns|cols|fields?|categories|languages|cities|countries|families|years?|steps?|epochs?"
    r"|iterations|dims?|dimensions|layers|heads|parameters?|params|weights|degrees|percent|\w*pixels|\w*voxels|types|kinds|sorts|sections|numbers|units|meters"
    r"|metres|km|kilometers|miles|times|[\w-]*hours?|hrs?|days?|weeks?|months?|minutes?|seconds?|ms|bits?|bytes?"
    r"|letters(?! an? | per | each )"
    r"|characters|chars|tokens?|words?|plants|species|genres|topics|codes|defects|intents|opcodes|bands|sensors"
    r"|dollars|euros?|bucks|pounds|fps|nps|microseconds|gpus?|nodes|cores|machines|servers|watts|volts|intensities|atoms|channels|bins"
    r"|electrodes|levels|projects|hospitals|clinics|schools|stations|sites|vendors|suppliers|labs|wavelengths|variables|counters|genes|trees|estimators|snps|probes|residues|quants|finetunes|ggufs|chromebooks|laptops|phones|computers|tablets|\w*flops?)"
)
"""Plurals that are no examples."""
MORE = r"(?:more|full|whole|working|further|extra|additional|solid|weiteren?|ganzen?)"
PARAMETERS = r"(?:parameter[ns]?|params?|weights|paramètres|parámetros|parametri)"
WORD = r"[^\W\d_][\w'’&/+-]*"
STOP = (
    r"(?:of|in|on|and|or|for|with|from|to|at|by|(?:after|before)(?!/)|within|until|per|a|an|the|is|are|was|were|has|have|that|which|as|but|than|each|every"
    r"|one(?!-)|und|oder|mit|für|von|et|ou|avec|pour|y|con|para|classes|features|columns|languages|times|percent|km|hz|kda|ms|m|[kmgtp]i?b|cm|mm|nm|kg|px|dpi|fps|mw|bit|models?|versions?|variants?|sizes|instruct|checkpoints?|llms?|encoders?|doctors|nurses|engineers|annotators|experts|colleagues|linguists|clinicians)"
)
BETWEEN = rf"(?!{STOP}\b)(?:{WORD}|\d{{1,3}}-{WORD}|[+&])[ ]"
"""One word between a number and its noun."""
PLURAL = r"[a-z][\w'-]{2,}(?-i:(?<![su']s))(?<!is)(?<!was)(?<!has)(?<!does)(?<!gives)(?<!needs)(?<=s)"
"""A plural by its look."""
TIME = (
    r"(?:seconds?(?!-hand)|sekunden?|segundos?|second[oi]|secondes?|secs?|s|minut[oi]s?|minuti|minutes?|minuten?|min|mins|hours?|hrs?|h|std|stunden?|heures?|horas?"
    r"|or[ae]|days?|tage?n?|jours?|d[ií]as?|giorn[io]|week-?ends?|wochenende|weeks?|wks?|wochen?|semaines?|semanas?|settimane"
    r"|fortnights?|months?|monate?n?|mois|m[eê]s(?:es)?|mes[ei]|years?|yrs?|jahre?n?|ans|années?|años?|anni)\b"
)
DAYS: tuple[tuple[str, float], ...] = (
    ("weekend", 2), ("week-end", 2), ("wochenend", 2), ("week", 7), ("wk", 7), ("woche", 7), ("semaine", 7),
    ("semana", 7), ("settim", 7),
    ("fortnight", 14), ("min", 1 / 1440), ("month", 30), ("monat", 30), ("mois", 30), ("mes", 30), ("mês", 30),
    ("year", 365),
    ("yr", 365), ("jahr", 365), ("ann", 365), ("año", 365), ("ans", 365), ("jour", 1), ("day", 1), ("tag", 1),
    ("dí", 1), ("di", 1), ("gior", 1), ("stund", 1 / 24), ("st", 1 / 24), ("h", 1 / 24), ("or", 1 / 24),
    ("s", 1 / 86_400),
)  # fmt: skip
"""Days of a span of time, by how its name begins; a month is taken as 30 days."""
PERIODS = {1 / 24: "hour", 1: "day", 7: "week", 30: "month", 365: "year"}
SOUND = (
    r"(?:audio|speech|speakers?|voice|stimmen?|voix|recordings?|recorded|transcri\w+|annotat\w+|labell?ed|calls|sound|music|aufnahmen?|sprache|tonmaterial"
    r"|enregistr\w+|annotée?s|parole|voz|grabacion\w+|talk|podcasts?|interviews?|meetings|registrazion[ei]|interviste|episodes?|tapes?|llamadas|appels|wavs?|beats|loops|vocals|birdsong|diktate?|gespräche|vorlesungen|hörbücher|hörspiele|audiobooks?|reading|performances?|singing|songs|lectures?|footage|video|dictation|conversations?|broadcasts?|radio|telephony|playing)"
)
HELD = r"(?:memory|ram|v?ram|gpu|flash|sram|storage|disk|weights|parameters|params|gradients|activations|cache)"
"""What a machine has bytes of."""
STORED = (
    r"(?:text|testo|textes|texts|news|books|logs?|archives?|dump|backlog|export|backup|crawl|scrape|data|corpus|corpora|documents?|articles|images?|photos?|pdfs?|audio|recordings?|video|code"
    r"|emails?|files|daten|texte|données|csv|parquet|quota|nas|jsonl?|ssd|nvme|hdd|drive|volume|raw|dataset)"
)
"""What lies on a disk."""
GIGABYTES = {"k": 1e-6, "m": 1e-3, "g": 1.0, "t": 1e3, "p": 1e6}
CURRENCIES = {
    "$": "USD", "us": "USD", "do": "USD", "bu": "USD", "gr": "USD", "€": "EUR", "eu": "EUR", "£": "GBP", "po": "GBP",
    "gb": "GBP", "qu": "GBP", "dó": "USD",
}  # fmt: skip
"""By the first two letters of how it is written."""
MAKER = r"(?:nvidia |colab(?:['’]s)? |rtx[ -]?|geforce |tesla |gtx |used |consumer |old |rented |spare ){0,4}"
CARDS = (
    r"(?:gpus?|graphics cards?|grafikkarten?|video cards?|(?<!credit )cards"
    r"|cartes? graphiques?|tarjetas? gráficas?|显卡)"
)
NO_LABELS = re.compile(
    r"\b(?:no|zero|not a single|without(?: any)?|kein(?:e|en)?|ohne|sans|aucune?|sin|senza)[ ]"
    r"(?:labels?|labell?ed \w+|annotation(?:en|s)?|annotated \w+|étiquettes?|etiquetas|etichette)\b",
    re.I,
)
NO_GPU = re.compile(
    r"\b(?:no|zero|without(?: a| any)?|kein(?:e|en)?|ohne|sans|aucune?|sin)[ ]"
    r"(?:gpus?|graphics cards?|grafikkarten?)\b",
    re.I,
)

NUMBERED = re.compile(
    r"(?:\bone of(?: the)?|\b(?:type|class|level|grade|stage|version|step"
    r"|phase|page|part|chapter|figure|fig\.|table|section|number|no\.|round|day"
    r"|week|year|reviewer|appendix|option|layer|top|room|windows|cuda|python|pi|line|question|task|plate|rig|group|case|ward|floor|building|gate|bus|flight|season|channel|slot|lane|v))"
    r"[ -]?$",
    re.I,
)
"""What a number behind it names, not counts: "type 1 patients"."""
NAMED = re.compile(
    r"\b(?:port|seed|error|code|iso|rfc|http|issue|pr|checkpoint|commit|postcode|zip|route|gpt)[ -]?#?$", re.I
)
"""The same of numbers of any size."""
