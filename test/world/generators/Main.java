// Eight pictures and a generation with the Java client, and one line of JSON about them.

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.GenerationsApi;
import org.openapitools.client.api.ModelsApi;
import org.openapitools.client.api.PicturesApi;
import org.openapitools.client.model.FalAiImagen4PreviewUltraInput;
import org.openapitools.client.model.Generation;

public class Main {
  public static void main(String[] args) throws Exception {
    String key = System.getenv("FALGATE_KEY");
    ApiClient client = new ApiClient();
    client.updateBaseUri(System.getenv("FALGATE_URL"));
    client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + key));
    PicturesApi pictures = new PicturesApi(client);
    GenerationsApi generations = new GenerationsApi(client);

    List<Long> seeds = new ArrayList<>();
    for (int n = 1; n <= 8; n++) {
      seeds.add(pictures.generate(new FalAiImagen4PreviewUltraInput().prompt("java " + n), null, null, null, null, null, null, null).getSeed());
    }
    Generation created = generations.createGeneration(Map.of("prompt", "java later"), null, null, "wait=30", null, null, null, null);
    int listed = generations.listGenerations(null, null, null).getGenerations().size();
    String model = new ModelsApi(client).getModel("fal-ai/imagen4/preview/ultra").getId();
    int refused = 0;
    try {
      pictures.generate(new FalAiImagen4PreviewUltraInput().prompt(" "), null, null, null, null, null, null, null);
    } catch (ApiException e) {
      refused = e.getCode();
    }
    String texts = seeds.stream().map(seed -> "\"" + seed + "\"").collect(Collectors.joining(","));
    System.out.printf("{\"seeds\":[%s],\"created\":\"%s\",\"status\":\"%s\",\"listed\":%d,\"model\":\"%s\",\"refused\":%d}%n", texts, created.getId(), created.getStatus(), listed, model, refused);
  }
}
