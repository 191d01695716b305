"""Every row of docs/recipe.md, and what checks it.

A row is a line of a table, a rule of a list, or a paragraph. It is named by its
first words; what checks it are tests, or the reason why nothing can.
"""

import ast
import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]

# Where tests are, below tests/.
AUGMENT = 'zoo/augment_test.py::'
META_CNN = 'meta/cnn_test.py::'
CNN = 'zoo/cnn_test.py::'
CONVERT = 'convert_test.py::'
DRIVER = 'zoo/driver_test.py::'
FIT = 'meta/fit_test.py::'
IMAGES = 'zoo/images_test.py::'
INTERVALS = 'meta/intervals_test.py::'
NETWORK = 'zoo/network_test.py::'
NWS = 'formats/nws_test.py::'
NWS_READ = 'formats/nws_read_test.py::'
OPTIM = 'zoo/optimizers_test.py::'
PREPARED = 'zoo/prepared_test.py::'
PRESETS = 'zoo/presets_test.py::'
RECIPE = 'zoo/recipe_test.py::'
REQUEST = 'meta/request_test.py::'
SPACE = 'space_test.py::'
STOPPING = 'zoo/stopping_test.py::'
TABLES = 'store/tables_test.py::'
TARGETS = 'meta/targets_test.py::'
TRAIN = 'zoo/train_test.py::'
VECTORS = 'zoo/shapes_test.py::'
VERIFY = 'verify_test.py::'
WINDOWS = 'meta/windows_test.py::'

CHOICES = (PRESETS + 'test_choices_are_those_of_section_2',
           PRESETS + 'test_draws_are_uniform_at_full_size')
LAYERS = (NETWORK + 'test_the_network_is_that_of_sections_3_and_5',
          CNN + 'test_same_as_the_flax_module')
OFFSETS = (VECTORS + 'test_offsets_are_those_of_the_recipe',)
ORDER = (VECTORS + 'test_values_of_the_vector_are_those_flax_means',
         VECTORS + 'test_split_shows_tensors_in_the_vectors_own_order')
RANGE = AUGMENT + 'test_ranges_are_those_of_the_recipe'
WARP = (RANGE, AUGMENT + 'test_warp_is_the_published_one',
        AUGMENT + 'test_draws_lie_in_the_published_ranges')
WHOLE = (AUGMENT
         + 'test_the_whole_is_the_published_operations_in_their_order')
COLOUR = (RANGE, WHOLE)
FANS = (CNN
        + 'test_fans_and_rules_are_those_of_section_4_in_every_layer')
STOPS = (STOPPING + 'test_stops_where_the_published_rules_stop',
         STOPPING + 'test_each_rule_by_hand')
EPOCH = TRAIN + 'test_an_epoch_is_whole_batches_of_other_images_at_its_rate'
FIRST = TRAIN + 'test_before_the_first_update_a_network_is_as_initialised'
UPDATE = TRAIN + 'test_one_update_is_that_of_the_flax_module'
BALANCED = TRAIN + 'test_an_epoch_is_balanced_and_apart_from_validation'
OWN_CUT = (TRAIN
           + 'test_the_cut_is_nine_in_ten_of_every_class_and_a_networks_own')
MEASURE = TRAIN + 'test_evaluation_looks_at_every_image_once'
KEPT = (TABLES + 'test_kept_evaluations_are_spread_from_first_to_last',
        TABLES + 'test_twenty_kept_are_those_the_published_reader_takes_errors'
        '_of')
READER = CONVERT + 'test_the_published_reader_accepts_it'
DMC = (META_CNN + 'test_the_published_cnns_have_the_published_sizes',
       META_CNN + 'test_the_published_cnn_is_that_of_section_12')
PUBLISHED = TARGETS + 'test_the_published_preset_is_that_of_sections_13_and_16'
CHANCE = (TARGETS + 'test_chances_are_those_of_section_14',)

OF_ITS_PAGE = 'how this page is written'
NOT_OURS = 'what the released code did; section 17 says what is done instead'
OPEN = 'not known: to be checked'
THEIRS = "a fact of the authors' files, which are not here"
NO_SUCH = 'a setting of the released commands that nws_jax has no use for: '

# {section: {first words of a row: tests, or a reason}}
CHECKS = {
    1: {
        'networks': (PRESETS + 'test_sizes_are_those_of_section_1',),
        'architecture': (PRESETS + 'test_sizes_are_those_of_section_1',),
        'data set and other settings': CHOICES,
        'snapshots per network': (
            PRESETS + 'test_sizes_are_those_of_section_1',),
        'values per network': (
            PRESETS + 'test_sizes_are_those_of_section_1',
            PRESETS + 'test_the_ends_of_the_space_are_those_of_section_1'),
        'of these, convolution part': (
            PRESETS + 'test_sizes_are_those_of_section_1', *OFFSETS),
        'size as float64': (NWS + 'test_a_run_folder',),
        '320,000 snapshots in all. Each subset': (
            CONVERT + 'test_unconverged_networks_are_left_out',),
    },
    2: {
        'Every draw is independent and uniform': CHOICES + (
            SPACE + 'test_properties_that_were_added_moved_no_published_draw',
            SPACE + 'test_no_two_properties_are_confounded'),
        **dict.fromkeys((
            '0 dataset', '1 lrate', '2 batch_size', '3 batch_norm',
            '4 augmentation', '8 filter_size', '9 depth_conv', '10 depth_fc',
            '11 width_conv', '12 width_fc'), CHOICES),
        **dict.fromkeys(('5 optimizer', '6 activation', '7 initialization'), (
            *CHOICES, NWS + 'test_codes_are_the_published_ones')),
    },
    3: {
        'Input 32x32x3. Let w = width_conv,': LAYERS,
        **dict.fromkeys(('block 1', 'block 2', 'block 3', 'flatten',
                         'hidden FC', 'output'), LAYERS + ORDER[:1]),
        'Conv layers per block: depth 3': LAYERS + OFFSETS,
        'Conv layer: k x k cross-correlation,': LAYERS + (
            'zoo/conv_test.py::'
            'test_values_and_gradients_of_the_plain_convolution',
            'zoo/conv_test.py::test_float32_is_as_good_by_polynomials'),
        'Hidden FC layer: matmul → +': LAYERS + (
            NETWORK + 'test_dropout_keeps_its_share_and_scales_it',),
        'No weight decay, no skip connections.': (
            CHOICES[0], LAYERS[0], UPDATE),
    },
    4: {
        **dict.fromkeys((
            '0 every kernel value 0.1', '1 normal, mean 0, std 1 (TF1',
            '2 Glorot uniform: ±sqrt(6/(fan_in+fan_out)); fan = k·k·channels',
            '3 Glorot normal: truncated at 2 std,'), (
                CNN + 'test_initialisers_have_their_moments',
                FANS,
                CNN + 'test_other_tensors_start_as_published')),
        'The chosen index also applies to': (
            FANS,),
        'Index 3: older TF1 does not': (
            CNN + 'test_initialisers_have_their_moments',),
        'Constant initialisation can learn because BN': (
            CNN + 'test_scales_of_batch_norm_start_around_one',),
    },
    5: {
        'creation order': OFFSETS + LAYERS[:1],
        'initial values': (
            CNN + 'test_scales_of_batch_norm_start_around_one',
            CNN + 'test_other_tensors_start_as_published'),
        'epsilon, decay': LAYERS + (UPDATE,),
        'reduced axes': LAYERS,
        'mode in the classifier': (
            VERIFY + 'test_accuracies_by_batch_statistics',),
        'moving averages': (FIRST,),
        'Flax BatchNorm: set momentum=0.9 (its default': LAYERS[1:],
    },
    6: {
        'Loss: mean softmax cross-entropy over the': (UPDATE, MEASURE),
        '0 Adam: b1 0.9, b2 0.999, eps': (
            OPTIM + 'test_update_rules_of_tensorflow_1',
            OPTIM + 'test_one_step_by_hand'),
        '1 RMSProp: decay 0.9, momentum 0, eps': (
            OPTIM + 'test_update_rules_of_tensorflow_1',
            OPTIM + 'test_one_step_by_hand',
            OPTIM + 'test_same_as_optax_where_the_rules_agree'),
        '2 Momentum 0.95, no Nesterov': (
            OPTIM + 'test_update_rules_of_tensorflow_1',
            OPTIM + 'test_one_step_by_hand',
            OPTIM + 'test_same_as_optax_where_the_rules_agree'),
        'Choice and 0.95: [C]. Defaults and': (
            OPTIM + 'test_one_step_by_hand',),
    },
    7: {
        'intended': (
            EPOCH, PRESETS + 'test_training_is_that_of_sections_7_to_10'),
        'what runs': (EPOCH,),
        'Whether the paper states a decay:': OPEN,
    },
    8: {
        'mnist, fashion': (
            PREPARED
            + 'test_first_images_in_the_publishers_order_are_set_aside',
            'data_test.py::test_complete_mnist_and_fashion_mnist', OWN_CUT),
        'cifar10': (PREPARED + 'test_prepared_set_is_the_source', OWN_CUT),
        'svhn': (PREPARED + 'test_prepared_set_is_the_source', OWN_CUT),
        'stl10': (PREPARED + 'test_prepared_set_is_the_source', OWN_CUT),
        'Order of operations [C]:': OF_ITS_PAGE,
        'uint8 → float, divided by 255.': (
            UPDATE, MEASURE, IMAGES + 'test_legacy_grid_equals_the_formula'),
        'Shuffle the training images per run,': (OWN_CUT, BALANCED),
        'Class balance, training part only: k': (BALANCED, OWN_CUT),
        'In the graph: 28x28 → 32x32': (
            IMAGES + 'test_legacy_grid_equals_the_formula',
            IMAGES + 'test_legacy_grid_by_hand'),
        'Augmentation if on, then clip to': (
            AUGMENT
            + 'test_values_are_clipped_at_the_end_and_not_in_between',),
        "cifar10, svhn, stl10 come from the": (
            'the dumps are not published; the publishers\' archives are read '
            'instead'),
    },
    9: {
        '"On" means all of it, in': (WHOLE, AUGMENT
            + 'test_augmented_images_differ_and_stay_in_range'),
        '1 shift tx, ty': WARP,
        '2 rotation r': WARP,
        '3 zoom z': WARP,
        '4 shear hx, hy': WARP,
        '5 brightness, added': COLOUR,
        '6 contrast: (x - mean)·c + mean,': COLOUR + (
            AUGMENT
            + 'test_values_are_clipped_at_the_end_and_not_in_between',),
        '7 hue shift (fraction of the circle)': COLOUR + (
            AUGMENT + 'test_hue_and_saturation_are_those_of_hsv',),
        '8 saturation factor': COLOUR + (
            AUGMENT + 'test_hue_and_saturation_are_those_of_hsv',),
        '9 Gaussian noise per pixel and channel': (
            RANGE, AUGMENT + 'test_noise_is_of_every_pixel_and_channel'),
        'Rows 1–4 are one warp, output': WARP[1:2] + (WHOLE,),
        'Bilinear; every neighbour outside the image': (
            WARP[1], TRAIN
            + 'test_evaluation_by_augmented_images_differs_where_they_are',
            AUGMENT
            + 'test_values_are_clipped_at_the_end_and_not_in_between'),
    },
    10: {
        'Per step i = 0, 1,': (
            PRESETS + 'test_training_is_that_of_sections_7_to_10',),
        'Reshuffle and re-balance when due; batch': (EPOCH, BALANCED),
        'Training accuracy of the batch by': (
            'the accuracy of the update\'s own forward pass is kept instead, '
            'docs/contract.md'),
        'If i mod spe = 0:': (FIRST, MEASURE),
        'One update.': (UPDATE, EPOCH),
        'So snapshot 1 is written before': (FIRST,),
        'drops': STOPS,
        'flat': STOPS,
        'below': STOPS,
        'Counters run from t = 2;': STOPS + (
            DRIVER + 'test_early_stopping_freezes_and_resumes',),
        'Kept snapshots: T evaluations → those': KEPT + (
            DRIVER + 'test_thinned_is_whole_at_fewer_epochs', READER),
    },
    11: {
        'All variables in creation order, layer': OFFSETS + ORDER,
        'conv kernel': ORDER,
        'FC kernel': ORDER,
        'vectors': ORDER,
        'The in-axis of the first FC': ORDER + LAYERS[:1],
        'Fixed net, first index of each': OFFSETS,
        **dict.fromkeys((
            'conv1_1 5x5x3x8', 'conv2_1 5x5x8x16', 'conv3_1 5x5x16x32',
            'fc1 512→128', 'fc2 128→64', 'output 64→20'), OFFSETS),
        'Conv 16,880 + FC 75,988 =': OFFSETS + (
            NWS + 'test_a_run_folder',
            WINDOWS + 'test_a_window_is_the_slice_it_names'),
        'Slices [C]. L = slice_length, n': (
            WINDOWS + 'test_starts_are_uniform_with_both_ends',
            WINDOWS
            + 'test_each_use_cuts_another_window_within_its_own_vector'),
        '0 all': (WINDOWS + 'test_starts_are_uniform_with_both_ends',),
        '1 conv': (
            'single layers are read instead, by --ablate=layer: there is no '
            '`dnn_part`'),
        '2 FC': (
            'single layers are read instead, by --ablate=layer: there is no '
            '`dnn_part`'),
        'A 5,000-slice is 5.4 % of': 'shares that no code depends on',
    },
    12: {
        '1-D convs: width 5, stride 1,': DMC + (
            'meta/conv1d_test.py::test_every_form_is_the_layer',),
        **dict.fromkeys((
            'conv 8, pool', 'conv 16, pool', 'conv 32, conv 64, pool',
            'conv 128, conv 256', 'six times: [pool only if length',
            'pool, flatten'), DMC),
        '12 convs + 6 FC; 10,407,685': DMC[:1] + (
            META_CNN + 'test_the_published_cnns_have_the_published_depths',),
        'Large, L > 40,000 (P =': DMC[:1] + (
            META_CNN + 'test_the_published_cnns_have_the_published_depths',),
        'The program prints "9" and "11"': 'a remark on what others print',
    },
    13: {
        'optimizer': (
            PUBLISHED, FIT + 'test_losses_of_known_cases'),
        'decay': 'inert in the released code: a constant rate, as it ran',
        'input': (
            WINDOWS
            + 'test_each_use_cuts_another_window_within_its_own_vector',),
        'validation': (WINDOWS + 'test_no_network_is_on_two_sides',),
        'test': (WINDOWS + 'test_a_large_zoo_uses_its_split',),
        'snapshots': (TARGETS + 'test_epochs', PUBLISHED),
        'class balance': (
            TARGETS + 'test_select_leaves_out_and_counts', PUBLISHED),
        'score': (PUBLISHED, WINDOWS + 'test_spaced_starts_have_both_ends'),
        'checkpoints': 'no file of the meta-classifier is kept or read',
        'per-network mode (valid_avg)': (
            PUBLISHED, WINDOWS + 'test_spaced_starts_have_both_ends',
            REQUEST + 'test_local_windows_are_pooled'),
        'position mode (valid_pos)': (
            'layers and epochs are read instead, by --ablate; no such file is '
            'written'),
        'training log': 'result.json of docs/contract.md takes its place',
        'majority vote': (REQUEST + 'test_local_windows_are_pooled',),
        'BN at test': (
            META_CNN
            + 'test_a_prediction_does_not_depend_on_its_neighbours',),
        'lrate (prop 1)': (FIT + 'test_losses_of_known_cases',),
        'The SVM / statistics baseline is': (
            'meta/features_test.py::'
            'test_parts_are_described_as_numpy_would',),
    },
    14: dict.fromkeys((
        'dataset', 'batch_size, activation, initialization',
        'optimizer, filter_size, depth_conv, depth_fc, width_conv, width_fc',
        'augmentation', 'batch_norm', 'lrate'), CHANCE),
    15: {
        'weights/001.bin … 020.bin': (NWS + 'test_a_run_folder', READER),
        'meta.csv': (NWS + 'test_codes_are_the_published_ones',
                     NWS + 'test_a_run_folder'),
        'error.bin': (NWS + 'test_errors_by_hand', READER,
                      NWS_READ + 'test_figures_of_a_long_run'),
        'stat.bin': (NWS + 'test_a_run_folder',
                     NWS_READ + 'test_impossible_counts_are_damaged'),
        'error.pdf': 'a picture, which no reader needs',
        'split CSVs': (
            READER, NWS + 'test_a_path_with_a_comma_stays_one_value',
            NWS_READ + 'test_runs_are_those_published'),
        'README names nws_main_train.csv and nws_main_test.csv; third-party': (
            NWS_READ + 'test_only_tables_of_a_side_are_read',),
    },
    16: {
        'data_dir, log_dir, data_train, data_test, log_dir': (
            NO_SUCH + 'its flags are those of docs/contract.md'),
        'data_nmn, model_pth': CHOICES,
        'id, batch_size': (PUBLISHED,),
        'transf_scaling, learning_rate': (RANGE, PUBLISHED),
        'epochs, epochs': (
            PRESETS + 'test_training_is_that_of_sections_7_to_10', PUBLISHED),
        'shuffle_epochs, shuffle_epochs': (EPOCH, WINDOWS
            + 'test_each_use_cuts_another_window_within_its_own_vector'),
        'dropout (keep), dropout (keep), batchn': (CHOICES[0], *DMC),
        'early_stopping, decay_frequency': (
            PRESETS + 'test_training_is_that_of_sections_7_to_10',),
        'prints, prop, dnn_part': (
            PRESETS + 'test_training_is_that_of_sections_7_to_10',),
        'params (13 values, column order), slice_length, K, P': (PUBLISHED,),
        'fixed, training, load_uniform': (CHOICES[0], PUBLISHED),
        'valid_pos, valid_avg': (PUBLISHED,),
        'Examples: one MNIST net, 20 snapshots,': (
            RECIPE + 'test_words_from_the_command_line',
            TARGETS + 'test_epochs'),
    },
    17: {
        'split by snapshot': (
            WINDOWS + 'test_no_network_is_on_two_sides',
            SPACE + 'test_sides_are_even_in_every_block',
            INTERVALS
            + 'test_the_bootstrap_resamples_settings_and_is_repeatable'),
        'running statistics fed by evaluation: even': (FIRST,),
        'decay inert': (EPOCH, DRIVER + 'test_tables_of_a_finished_zoo'),
        'learning-rate regression broadcasts': (
            FIT + 'test_losses_of_known_cases',
            FIT + 'test_it_regresses_in_the_targets_own_unit'),
        'batch statistics at test, so a': (
            META_CNN
            + 'test_a_prediction_does_not_depend_on_its_neighbours',),
        'augmentation active in evaluation': (
            TRAIN
            + 'test_evaluation_by_augmented_images_differs_where_they_are',
            PRESETS + 'test_training_is_that_of_sections_7_to_10'),
        'no seeds': (
            RECIPE + 'test_a_row_does_not_depend_on_how_many_there_are',
            TRAIN + 'test_any_slot_and_any_neighbours_give_the_same_bits',
            VERIFY + 'test_a_network_trained_again_is_the_same_in_every_bit'),
        'prints > 20 fails; < 20': KEPT[:1],
        'reshuffle period spe+1 steps, evaluation period': (EPOCH, BALANCED),
        'remainders of validation and test dropped': (MEASURE,),
        'validation indices taken modulo N_test: harmless,': NOT_OURS,
        'balancing crashes if the classes are': (
            DRIVER + 'test_tables_of_a_finished_zoo',  # mnist there is equal
            BALANCED),
        'valid_avg does not filter by snapshot': (
            DRIVER + 'test_tables_of_a_finished_zoo',),
        'float64 files of float32 values, all': (
            'store/snapshots_test.py::'
            'test_rows_in_any_order_are_those_written',
            'store/snapshots_test.py::'
            'test_one_network_or_window_does_not_read_the_rest', READER),
        'network evaluated with batch statistics': (
            VERIFY + 'test_accuracies_by_batch_statistics', MEASURE),
        'random 90/10 cut per run, then': (OWN_CUT, EPOCH),
        'at least 20 evaluations = epochs': STOPS[1:] + KEPT[1:],
        'networks that failed to converge are': (
            CONVERT + 'test_unconverged_networks_are_left_out',),
        '8x8 digits, 96x96 STL-10: no rule': (
            IMAGES + 'test_digits_counts_become_bytes',
            IMAGES + 'test_legacy_grid_by_hand',
            IMAGES + 'test_large_colour_images_are_averaged'),
        'conv bias before BN: true gradient': (
            TRAIN + 'test_a_bias_that_batch_norm_takes_off_stays_zero',
            CNN + 'test_gradients_are_those_of_the_flax_module',
            *LAYERS[:1]),
    },
    18: {'Paper results; SVM features; train/test sizes': OPEN},
}


def list_rows():
  """{section: names of its rows}, in the order of the page."""
  text = (ROOT / 'docs' / 'recipe.md').read_text()
  result = {}
  for part in re.split(r'^## ', text, flags=re.M)[1:]:
    section, body = int(part.split('.')[0]), part.split('\n', 1)[1]
    names = []
    for block in re.split(r'\n\s*\n', body.strip('\n')):
      names += name_rows(section, block.splitlines())
    result[section] = names
  return result


def name_rows(section, lines):
  """Names of the rows of one block: what no blank line parts."""
  names, in_text = [], False
  for line, after in zip(lines, lines[1:] + ['']):
    if line.startswith('|'):
      in_text = False
      if not is_rule(line) and not is_rule(after):  # as is what heads a table
        names.append(name(section, re.split(r'(?<!\\)\|', line)[1:-1]))
    elif item := re.match(r'(?:\d+\.|\*) (.*)', line):
      in_text = True  # its other lines are of this row
      names.append(shorten(item[1]))
    elif not in_text and not line.startswith('    '):
      in_text = True
      names.append(shorten(line))
  return names


def is_rule(line):
  return line.startswith('|') and set(line) <= set('|:- ')


def name(section, cells):
  """A line of a table by its first cell; by two where that is a number."""
  if section == 16:  # two tables side by side
    return ', '.join(shorten(c) for c in cells[::2] if c.strip())
  return ' '.join(map(shorten, cells[:1 + cells[0].strip().isdigit()]))


def shorten(text):
  """The first six words, as they read."""
  return ' '.join(re.sub(r'[*`]', '', text).split()[:6])


def list_tests():
  """Names of all test functions, as 'folder/file.py::function'."""
  found = set()
  for path in (ROOT / 'tests').rglob('*_test.py'):
    file = path.relative_to(ROOT / 'tests').as_posix()
    for node in ast.parse(path.read_text()).body:
      if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
        found.add(f'{file}::{node.name}')
  return found


def test_every_row_has_its_entry_and_every_entry_its_row():
  rows = list_rows()
  assert list(rows) == list(range(1, 19)) == list(CHECKS)
  for section, names in rows.items():
    twice = [n for n, c in collections.Counter(names).items() if c > 1]
    assert not twice, (section, twice)
    known = set(CHECKS[section])
    assert not set(names) - known, (section, 'have no entry')
    assert not known - set(names), (section, 'are no rows')
  assert sum(map(len, rows.values())) >= 180


def test_every_entry_names_tests_there_are_or_a_reason():
  tests, checked = list_tests(), 0
  for section, entries in CHECKS.items():
    for row, entry in entries.items():
      if isinstance(entry, str):
        assert len(entry.split()) >= 4 and '::' not in entry, (section, row)
        continue
      checked += 1
      assert entry and not set(entry) - tests, (section, row)
  assert checked > 150


def test_a_row_without_an_entry_would_be_found(monkeypatch):
  """A new line of a table, a new rule and a new paragraph are rows."""
  page = (ROOT / 'docs' / 'recipe.md').read_text()
  before = list_rows()
  for old, new in (('| flat |', '| steep | x | 1 |\n| flat |'),
                   ('4. One update.', '4. One update.\n5. Another.'),
                   ('## 4. Init', 'And this.\n\n## 4. Init')):
    assert page.count(old) == 1
    changed = page.replace(old, new)
    monkeypatch.setattr(pathlib.Path, 'read_text', lambda *_, t=changed: t)
    after = list_rows()
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + 1
