<?php
// Offers the languages of Debian's wordpress-l10n on the installation's first page. WordPress asks its makers' server for them otherwise,
// and leaves the page out where that cannot be reached.
add_filter('translations_api', function () {
    $languages = [];
    foreach (get_available_languages() as $language) {
        $languages[] = ['language' => $language, 'native_name' => $language, 'iso' => [1 => substr($language, 0, 2)], 'strings' => ['continue' => 'Continue']];
    }
    return ['translations' => $languages];
});
